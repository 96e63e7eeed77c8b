"""Nix told of the cache and of the hook, and told to forget them again: which lines, where, and by whose hand."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import RunnerError, one_line
from ..machine import paths, registrations, root
from ..machine.modes import Mode
from ..machine.observe import Facts
from ..machine.paths import Paths
from ..machine.registrations import Registration
from ..nix import effective, secret_lines
from ..nix.access_tokens import access_tokens
from ..nix.conf import MACHINE
from ..nix.daemon import control
from ..nix.install import tarball
from ..nix.store import Nix
from ..system import probe, users
from ..system.files import make_directory
from ..system.net import network_environment
from ..system.removal import remove_tree
from ..uploader.read_proxy import launch
from .context import Context
from .destination import Destination, claim
from .state import JobState

_STALE: Final = 7 * 86400.0  # seconds that no job takes
HOOK: Final = "post-build-hook"
_CERTIFICATES: Final = "NIX_SSL_CERT_FILE"


def register(context: Context, state: JobState, place: Destination, seen: Facts) -> None:
    """Make Nix know the cache and, when pushing, the hook; a daemon is restarted if that changed anything.

    What a file of the user's takes away from these lines is said again in that file, which Nix reads last.
    """
    if state.push:
        claim(place)
    ours = [line for line in cache_lines(state, place) if _is_heeded(line, state, seen)]
    given, tokens = context.settings.extra_nix_conf.splitlines(), _token_lines(context)
    where, own = _places(context, state), context.own_places
    apart = where.conf_file != own.conf_file
    # Or a build fails when the cache does; who wants that says so in extra-nix-conf, which comes after it.
    lines = ["fallback = true", *_mode_lines(context, state, seen)]
    if apart:
        lines += [line for line in given if not secret_lines.is_for_fetches(line)]
        tokens = [line for line in given if secret_lines.is_secret(line) and secret_lines.is_for_users(line)] + tokens
    else:
        lines += given + tokens
    lines += ours
    if apart and not context.settings.harden and (theirs := own.config.value(HOOK)):
        lines.append(f"{HOOK} = {theirs}")  # ours calls it
    wanted = _registration(context, state, seen, lines)
    if state.chosen.daemon:
        root.call("register", wanted.to_json(), context.environ)
    else:
        registrations.add(where, wanted, private=not apart)
    if apart:
        if tokens:
            _tell_own(context, own, wanted, tokens)
        else:  # an earlier set-up's would hide what is missing
            registrations.remove(own, context.job_name, daemon=False, everything=True)
        hook = [f"{HOOK} = {where.hook}"] if wanted.hook and not context.settings.harden else []
        lost = lacking([*ours, *hook], effective.of_client(wanted.nix, context.environ))
        if lost:
            _tell_own(context, own, wanted, tokens + lost)


def lacking(lines: Iterable[str], settings: Mapping[str, str]) -> list[str]:
    """Those of our lines that Nix does not heed, given what is in effect; none where Nix did not answer."""
    lost = []
    for name, _, value in (line.partition(" = ") for line in lines if settings):
        plain = name.removeprefix("extra-")
        if name == HOOK and settings.get(HOOK) != value:
            lost.append(f"{name} = {value}")
        elif name != plain:
            missing = [item for item in value.split() if not effective.lists(settings, plain, item)]
            lost += [f"{name} = {' '.join(missing)}"] if missing else []
    return lost


def _tell_own(context: Context, own: Paths, wanted: Registration, lines: list[str]) -> None:
    """Put lines into the user's own configuration; warn where that cannot be changed."""
    only = Registration(job=wanted.job, owner=wanted.owner, lines=tuple(lines), nix_bin=wanted.nix_bin)
    try:
        registrations.add(own, only, private=True)
    except RunnerError as error:
        context.host.warning(str(error))


def vouch(context: Context, place: Destination, nix: Nix) -> Destination:
    """The destination with what Nix can read of it, where its paths carry no signature: see `uploader/view.py`."""
    from ..uploader import view

    directory, caches = _views(context), [*place.others, Path(place.url.path)]
    if not place.unsigned or not any(cache.is_dir() for cache in caches):
        return place
    try:
        with _view_places(context).lock():
            _sweep_views(directory)
            make_directory(directory, 0o755)
            return place.viewed(*view.make(directory, caches, nix.store_dir))
    except OSError as error:
        context.host.warning(f"the cache cannot be read: {directory}: {one_line(error)}")
        return place


def _views(context: Context) -> Path:
    return _view_places(context).state / "views" / context.job_name


def _view_places(context: Context) -> Paths:
    """The job's own directory may be root's to make, with the lines that name a view; so this user's are taken."""
    return paths.machine(context.environ) if os.geteuid() == 0 else context.own_places


def _sweep_views(mine: Path) -> None:
    """Remove what an earlier set-up of this job left, and jobs that were killed."""
    with suppress(FileNotFoundError):
        for directory in mine.parent.iterdir():
            if directory == mine or directory.stat().st_mtime < time.time() - _STALE:
                remove_tree(directory)


def revive_daemon(context: Context, state: JobState) -> None:
    """See to it that the store can be asked: a CI host may have ended the daemon with the job's other processes."""
    if state.chosen.daemon and not state.apart and os.geteuid() != 0 and not control.answers():
        root.call("start-daemon", {"nix_bin": state.nix_bin}, context.environ)


def unregister(context: Context, state: JobState) -> None:
    """Take this job out again; what was not pushed stays for another flush. What is apart only root takes out."""
    where, own = _places(context, state), context.own_places
    if state.apart and not probe.sudo():
        context.host.info(f"hook and uploader stay: only {paths.UNDO}, run by root, ends them")
    elif state.chosen.daemon:
        root.call("remove", {"job": context.job_name, "everything": False}, context.environ)
    else:
        registrations.remove(where, context.job_name, daemon=False, everything=False)
    remove_tree(_views(context))
    if where.conf_file != own.conf_file:
        registrations.remove(own, context.job_name, daemon=False, everything=True)


def _places(context: Context, state: JobState) -> Paths:
    return paths.machine(context.environ) if state.chosen.daemon else context.places


def _registration(context: Context, state: JobState, seen: Facts, lines: list[str]) -> Registration:
    chosen = state.chosen
    return Registration(
        job=context.job_name,
        owner=(os.geteuid(), os.getegid()),
        lines=tuple(lines),
        nix_bin=state.nix_bin,
        queue=state.push,
        hook=state.push and not state.scan,
        daemon=chosen.daemon,
        build_users=chosen.installs is None
        and chosen is not Mode.EXISTING_SCAN
        and seen.admin
        and _lacks_build_users(seen),
        kvm=seen.admin and chosen.daemon,
        apart=state.apart,
        environ=_daemon_environment(context),
    )


def _lacks_build_users(seen: Facts) -> bool:
    """Whether Nix, run by root, would look for build users in vain."""
    config = MACHINE
    if seen.system != "Linux" or seen.build_users or config.value("auto-allocate-uids") == "true":
        return False
    return config.value("build-users-group") in {None, users.GROUP}


def _daemon_environment(context: Context) -> dict[str, str]:
    """Proxies and certificates, for a daemon that we start."""
    environ = network_environment(context.environ)
    if _CERTIFICATES not in environ and tarball.CERTIFICATES.exists():
        environ[_CERTIFICATES] = str(tarball.CERTIFICATE_FILE)
    return environ


def _mode_lines(context: Context, state: JobState, seen: Facts) -> list[str]:
    lines = []
    if state.chosen.installs:
        lines.append("extra-experimental-features = nix-command flakes")
        # Without it, a single-user Nix that runs as root looks for build users.
        lines.append("build-users-group =" + (f" {users.GROUP}" if state.chosen is Mode.MULTI_USER else ""))
        if not seen.namespaces:
            lines.append("sandbox = false")
    if context.settings.harden and state.chosen.daemon:
        lines += ["trusted-users = root", "require-sigs = true", "sandbox-fallback = false"]
    elif state.chosen.daemon and not seen.root:
        # Its user can become root anyway.
        lines.append(f"extra-trusted-users = {pwd.getpwuid(os.geteuid()).pw_name}")
    return lines


def cache_lines(state: JobState, place: Destination) -> list[str]:
    """What makes Nix read the cache and those beside it."""
    lines = [f"extra-substituters = {url}" for url in place.substituters]
    if place.unsigned:  # Nix reads the views
        return [*lines, *_trusted(place)]
    if state.reader_port:
        lines.append(f"extra-substituters = {launch.url(state.reader_port)}{place.url.reading_query}")
    elif place.url.is_read_by_nix and not state.unread:
        lines.append(f"extra-substituters = {place.url.substituter}")
    return [*lines, *_trusted(place)]


def _trusted(place: Destination) -> list[str]:
    keys = " ".join(map(str, place.public_keys))
    return [f"extra-trusted-public-keys = {keys}"] if keys else []


def settings_of(state: JobState, seen: Facts, environ: Mapping[str, str]) -> Mapping[str, str]:
    """What is in effect for this job's builds: the daemon's own settings where it does not trust this user."""
    nix = Nix(Path(state.nix_bin))
    if not is_ignored(state, seen):
        return effective.of_client(nix, environ)
    settings = dict(effective.of_machine(nix))
    for name in ("substituters", "trusted-substituters") if settings else ():
        settings["substituters"] = f"{settings.get('substituters', '')} {settings.get(name, '')}"
    return settings


def is_ignored(state: JobState, seen: Facts) -> bool:
    """Whether the daemon ignores what this user configures, but for substituters that it knows."""
    return state.chosen is Mode.EXISTING_SCAN and not seen.trusted


def _is_heeded(line: str, state: JobState, seen: Facts) -> bool:
    """Nix warns at each command of a line that its daemon ignores."""
    if not is_ignored(state, seen):
        return True
    return line.startswith("extra-substituters ") and not lacking([line], settings_of(state, seen, {}))


def tell_own(context: Context, nix_bin: str, machine: Paths) -> None:
    """Tell Nix what is a job's own where all else is the machine's; warn where that cannot be done.

    The machine's cache is named again where the user's own configuration took it away.
    """
    own = context.own_places
    owner = (os.geteuid(), os.getegid())
    registration = Registration(job=context.job_name, owner=owner, lines=(), nix_bin=nix_bin)
    lines = _own_lines(context)
    _tell_own(context, own, registration, lines)
    settings = effective.of_client(registration.nix, context.environ)
    with suppress(OSError):
        machines = machine.config.include.read_text(encoding="utf-8").splitlines()
        if lost := lacking([line for line in machines if line.startswith("extra-substituters = ")], settings):
            _tell_own(context, own, registration, lines + lost)


def _own_lines(context: Context) -> list[str]:
    return [*context.settings.extra_nix_conf.splitlines(), *_token_lines(context)]


def _token_lines(context: Context) -> list[str]:
    text = context.settings.github_token
    if not text:
        return []
    return [f"extra-{secret_lines.ACCESS_TOKENS} = {access_tokens(text, context.host.token_server())}"]
