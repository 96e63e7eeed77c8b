"""Nix told of the cache and of the hook, and told to forget them again."""

from __future__ import annotations

from .context import Context
from .destination import Destination
from .nix import hook, service
from .nix.config import Config
from .places import GC_ROOTS
from .session import Session


def register(context: Context, session: Session, place: Destination) -> None:
    """Write the include file of nix.conf and, when pushing, the hook; a daemon is restarted if that changed it."""
    where = context.places
    lines = _cache_lines(context, session, place)
    if session.push:
        lines.append(_hook_line(context))
    if session.installed:
        # Without the second, a single-user Nix that runs as root looks for build users.
        lines += ["extra-experimental-features = nix-command flakes", "build-users-group ="]
    lines += context.settings.extra_nix_conf.splitlines()
    tokens = _token_lines(context)
    if where.nix_conf == where.user_nix_conf:
        Config(where.nix_conf).write(lines + tokens, private=True)
        return
    if tokens:
        Config(where.user_nix_conf).write(tokens, private=True)
    if Config(where.nix_conf).write(lines) and session.daemon:
        service.restart()


def unregister(context: Context) -> None:
    """Leave nix.conf as it was. Before the hook goes, since Nix must never be pointed at one that is not there."""
    where = context.places
    changed = [Config(directory).remove() for directory in {where.nix_conf, where.user_nix_conf}]
    if any(changed) and where.nix_conf != where.user_nix_conf and service.answers():
        service.restart()
    where.hook.unlink(missing_ok=True)


def _cache_lines(context: Context, session: Session, place: Destination) -> list[str]:
    lines = [f"extra-substituters = {place.url.substituter}"]
    public = place.public_keys
    if not public and session.push and (key := place.secret_key(context.environ)):
        public = (key.public,)
    if public:
        lines.append(f"extra-trusted-public-keys = {' '.join(map(str, public))}")
    else:
        context.platform.info("no public-keys are given: Nix will not trust what is in the cache")
    return lines


def _hook_line(context: Context) -> str:
    where, job = context.places, context.job
    job.queue.create()
    job.roots.mkdir(parents=True, exist_ok=True)
    hook.install(where.hook, jobs=where.jobs, roots=GC_ROOTS)
    return f"post-build-hook = {where.hook}"


def _token_lines(context: Context) -> list[str]:
    token = context.settings.github_token
    return [f"extra-access-tokens = github.com={token}"] if token else []
