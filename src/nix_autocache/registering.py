"""Nix told of the cache and of the hook, and told to forget them again: which lines, where, and by whose hand."""

from __future__ import annotations

import os
import pwd
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from . import places, privileged, probe, registry
from .context import Context
from .destination import Destination, claim
from .errors import one_line
from .keys import is_in_aws
from .nix import install, secret_lines, service, users
from .nix.config import Config
from .nix.store import Nix
from .places import Places
from .registry import Registration
from .runner import Mode, Observations
from .session import Session
from .system.files import make_directory
from .system.removal import remove_tree
from .tokens import access_tokens
from .uploader import loopback

_STALE: Final = 7 * 86400.0  # seconds that no job takes
_CERTIFICATES: Final = "NIX_SSL_CERT_FILE"


def register(context: Context, session: Session, place: Destination, seen: Observations) -> None:
    """Make Nix know the cache and, when pushing, the hook; a daemon is restarted if that changed anything."""
    if session.push:
        claim(place)
    lines = _cache_lines(context, session, place) + _mode_lines(context, session, seen)
    given, tokens = context.settings.extra_nix_conf.splitlines(), _token_lines(context)
    where, own = _places(context, session), context.own_places
    apart = where.nix_conf != own.nix_conf
    if apart:
        lines += [line for line in given if not secret_lines.is_for_fetches(line)]
        tokens = [line for line in given if secret_lines.is_secret(line) and secret_lines.is_for_users(line)] + tokens
    else:
        lines += given + tokens
    wanted = _registration(context, session, seen, lines)
    if session.chosen.daemon:
        privileged.call("register", wanted.to_json(), context.environ)
    else:
        registry.add(where, wanted, private=not apart)
    if apart and tokens:
        only = Registration(job=wanted.job, owner=wanted.owner, lines=tuple(tokens), nix_bin=wanted.nix_bin)
        registry.add(own, only, private=True)


def vouch(context: Context, place: Destination, nix: Nix) -> Destination:
    """The destination with what Nix can read of it, where its paths carry no signature: see `uploader/view.py`."""
    from .uploader import view

    directory, caches = _views(context), [*place.others, Path(place.url.path)]
    if not place.unsigned or not any(cache.is_dir() for cache in caches):
        return place
    try:
        with _view_places(context).lock():
            _sweep_views(directory)
            make_directory(directory, 0o755)
            return place.viewed(*view.make(directory, caches, nix.store_dir))
    except OSError as error:
        context.platform.warning(f"the cache cannot be read: {directory}: {one_line(error)}")
        return place


def _views(context: Context) -> Path:
    return _view_places(context).state / "views" / context.job_name


def _view_places(context: Context) -> Places:
    """The job's own directory may be root's to make, with the lines that name a view; so this user's are taken."""
    return places.machine(context.environ) if os.geteuid() == 0 else context.own_places


def _sweep_views(mine: Path) -> None:
    """Remove what an earlier set-up of this job left, and jobs that were killed."""
    with suppress(FileNotFoundError):
        for directory in mine.parent.iterdir():
            if directory == mine or directory.stat().st_mtime < time.time() - _STALE:
                remove_tree(directory)


def revive_daemon(context: Context, session: Session) -> None:
    """See to it that the store can be asked: a CI host may have ended the daemon with the job's other processes."""
    if session.chosen.daemon and not session.apart and os.geteuid() != 0 and not service.answers():
        privileged.call("start-daemon", {"nix_bin": session.nix_bin}, context.environ)


def unregister(context: Context, session: Session) -> None:
    """Take this job out again; what was not pushed stays for another flush. What is apart only root takes out."""
    where, own = _places(context, session), context.own_places
    if session.apart and not probe.sudo():
        context.platform.info("hook and uploader stay: only `nix-autocache undo`, run by root, ends them")
    elif session.chosen.daemon:
        privileged.call("remove", {"job": context.job_name, "everything": False}, context.environ)
    else:
        registry.remove(where, context.job_name, daemon=False, everything=False)
    remove_tree(_views(context))
    if where.nix_conf != own.nix_conf:
        registry.remove(own, context.job_name, daemon=False, everything=True)


def _places(context: Context, session: Session) -> Places:
    return places.machine(context.environ) if session.chosen.daemon else context.places


def _registration(context: Context, session: Session, seen: Observations, lines: list[str]) -> Registration:
    chosen = session.chosen
    return Registration(
        job=context.job_name,
        owner=(os.geteuid(), os.getegid()),
        lines=tuple(lines),
        nix_bin=session.nix_bin,
        queue=session.push,
        hook=session.push and not session.scan,
        daemon=chosen.daemon,
        build_users=chosen.installs is None and seen.admin and _lacks_build_users(seen),
        kvm=seen.admin and chosen.daemon,
        apart=session.apart,
        environ=_daemon_environment(context),
    )


def _lacks_build_users(seen: Observations) -> bool:
    """Whether Nix, run by root, would look for build users in vain."""
    config = Config(Path("/etc/nix"))
    if seen.system != "Linux" or seen.build_users or config.value("auto-allocate-uids") == "true":
        return False
    return config.value("build-users-group") in {None, users.GROUP}


def _daemon_environment(context: Context) -> dict[str, str]:
    """Proxies and certificates, for a daemon that we start."""
    environ = privileged.network_environment(context.environ)
    if _CERTIFICATES not in environ and install.CERTIFICATES.exists():
        environ[_CERTIFICATES] = str(install.CERTIFICATE_FILE)
    return environ


def _mode_lines(context: Context, session: Session, seen: Observations) -> list[str]:
    lines = []
    if session.chosen.installs:
        lines.append("extra-experimental-features = nix-command flakes")
        # Without it, a single-user Nix that runs as root looks for build users.
        lines.append("build-users-group =" + (f" {users.GROUP}" if session.chosen is Mode.MULTI_USER else ""))
        if not seen.namespaces:
            lines.append("sandbox = false")
    if context.settings.harden and session.chosen.daemon:
        lines += ["trusted-users = root", "require-sigs = true", "sandbox-fallback = false"]
    elif session.chosen.daemon and not seen.root:
        # Its user can become root anyway.
        lines.append(f"extra-trusted-users = {pwd.getpwuid(os.geteuid()).pw_name}")
    return lines


def _cache_lines(context: Context, session: Session, place: Destination) -> list[str]:
    # Or a build fails when the cache does; who wants that says so in extra-nix-conf, which comes after this.
    lines = ["fallback = true"]
    lines += [f"extra-substituters = {url}" for url in place.substituters]
    if place.unsigned:  # Nix reads the views
        return [*lines, *_trusted(place)]
    if session.reader_port:
        lines.append(f"extra-substituters = {loopback.url(session.reader_port)}{place.url.reading_query}")
    elif place.url.is_read_by_nix and not session.unread:
        lines.append(f"extra-substituters = {place.url.substituter}")
    elif not session.unread:
        offered = "give its HTTPS URL as `extra-substituters` in `extra-nix-conf`"
        context.platform.info(f"Nix cannot read {place.url.without_params}; {offered}")
    if not place.public_keys and not (session.push and is_in_aws(place.key_source)):  # or the uploader will say which
        context.platform.info("no public-keys are given: Nix will not trust what is in the cache")
    return [*lines, *_trusted(place)]


def _trusted(place: Destination) -> list[str]:
    keys = " ".join(map(str, place.public_keys))
    return [f"extra-trusted-public-keys = {keys}"] if keys else []


def own_lines(context: Context) -> list[str]:
    """What a job tells Nix of its own where all else is the machine's."""
    return [*context.settings.extra_nix_conf.splitlines(), *_token_lines(context)]


def _token_lines(context: Context) -> list[str]:
    text = context.settings.github_token
    if not text:
        return []
    return [f"extra-{secret_lines.ACCESS_TOKENS} = {access_tokens(text, context.platform.token_server())}"]
