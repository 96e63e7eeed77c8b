"""A job registered with Nix and taken out again: its lines, hook and queue, by root or by this user.

What a file of the user's takes away from our lines is written again into that file, which Nix reads last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ..errors import RunnerError
from ..machine import paths, registrations, root
from ..machine.modes import Mode
from ..machine.registrations import Registration
from ..nix import effective
from ..nix.conf import MACHINE
from ..nix.daemon import control
from ..nix.install import tarball
from ..queue import hook
from ..system import probe, users
from ..system.dataclass import dataclass
from ..system.net import network_environment
from ..uploader.process.client import UploaderClient
from . import nix_conf, own_conf
from .context import Context
from .destination import Destination, claim
from .state import JobState

if TYPE_CHECKING:
    from ..machine.observe import Facts

_CERTIFICATES: Final = "NIX_SSL_CERT_FILE"


@dataclass(frozen=True)
class Wanted:
    """What Nix is to be told: `shared` where the hook is registered, `own_lines` in this user's file if that is
    another one. `heeded` are the lines that must be in effect in the end."""

    shared: Registration
    own_lines: tuple[str, ...] = ()
    heeded: tuple[str, ...] = ()


def wanted(context: Context, state: JobState, destination: Destination, facts: Facts) -> Wanted:
    """Compute it; changes nothing."""
    cache = nix_conf.heeded_cache_lines(state, destination, facts)
    shared = _registration(context, state, facts, nix_conf.lines(context, state, facts, cache))
    if not nix_conf.has_own_file(context, state):
        return Wanted(shared)
    checks_hook = shared.hook and not context.settings.harden
    hook_line = [f"{hook.SETTING} = {nix_conf.job_paths(context, state).hook}"] if checks_hook else []
    return Wanted(shared, own_lines=tuple(nix_conf.own_lines(context)), heeded=(*cache, *hook_line))


def register(context: Context, state: JobState, destination: Destination, facts: Facts) -> Wanted:
    """Make Nix know the cache and, when pushing, the hook; a daemon is restarted if that changed anything.

    Raises RunnerError where the configuration cannot be changed.
    """
    if state.push:
        claim(destination)
    what = wanted(context, state, destination, facts)
    own = nix_conf.has_own_file(context, state)
    if state.chosen.daemon:
        root.call("register", what.shared.to_json(), context.environ)
    else:
        registrations.add(nix_conf.job_paths(context, state), what.shared, private=not own)
    if own:
        _register_own(context, what)
    return what


def register_or_scan(
    context: Context, state: JobState, destination: Destination, facts: Facts
) -> tuple[JobState, Wanted | None]:
    """Register, and say what was registered; where Nix cannot be told, the job goes on and the store is scanned.

    Raises RunnerError where we installed Nix ourselves, or where the uploader is a user of its own.
    """
    try:
        return state, register(context, state, destination, facts)
    except RunnerError as error:
        if state.chosen.installs or state.separate_user:
            raise
        then = "; the store is scanned at the end of the job instead" if state.push else ""
        context.host.warning(f"{error}; the job goes on without{then}")
        return (state.scanning(str(error)) if state.push and not state.scan else state), None


def register_changes(
    context: Context, state: JobState, destination: Destination, facts: Facts, registered: Wanted | None
) -> JobState:
    """Register again if anything decided since `registered` changes a line. Without root that cannot be done."""
    if registered is None or state.separate_user or wanted(context, state, destination, facts) == registered:
        return state
    return register_or_scan(context, state, destination, facts)[0]


@contextmanager
def undone_on_failure(context: Context, state: JobState) -> Iterator[None]:
    """A set-up that fails in the block leaves neither an uploader nor a line in nix.conf."""
    try:
        yield
    except BaseException:
        UploaderClient(context.job.directory).stop()
        unregister(context, state)
        raise


def unregister(context: Context, state: JobState) -> None:
    """Take this job out of nix.conf; what was not pushed stays queued. Only root ends an uploader of its own user."""
    if state.separate_user and not probe.sudo():
        context.host.info(f"hook and uploader stay: only {paths.UNDO}, run by root, ends them")
    elif state.chosen.daemon:
        root.call("remove", {"job_name": context.job_name, "everything": False}, context.environ)
    else:
        machine = nix_conf.job_paths(context, state)
        registrations.remove(machine, context.job_name, daemon=False, everything=False)
    if nix_conf.has_own_file(context, state):
        own_conf.remove(context)


def revive_daemon(context: Context, state: JobState) -> None:
    """Start the daemon again: a CI host may have ended it with the job's other processes."""
    if state.chosen.daemon and not state.separate_user and os.geteuid() != 0 and not control.answers():
        root.call("start-daemon", {"nix_bin": state.nix_bin}, context.environ)


def _register_own(context: Context, what: Wanted) -> None:
    nix_bin = what.shared.nix_bin
    if what.own_lines:
        own_conf.write(context, nix_bin, what.own_lines)
    else:  # those of an earlier set-up would hide what is missing
        own_conf.remove(context)
    if lost := nix_conf.lacking(what.heeded, effective.of_client(what.shared.nix, context.environ)):
        own_conf.write(context, nix_bin, [*what.own_lines, *lost])


def _registration(context: Context, state: JobState, facts: Facts, lines: Sequence[str]) -> Registration:
    mode = state.chosen
    return Registration(
        job_name=context.job_name,
        owner=(os.geteuid(), os.getegid()),
        lines=tuple(lines),
        nix_bin=state.nix_bin,
        queue=state.push,
        hook=state.push and not state.scan,
        daemon=mode.daemon,
        build_users=not mode.installs and mode is not Mode.EXISTING_SCAN and facts.admin and _lacks_build_users(facts),
        kvm=facts.admin and mode.daemon,
        separate_user=state.separate_user,
        environ=_daemon_environment(context),
    )


def _lacks_build_users(facts: Facts) -> bool:
    """Whether Nix, run by root, would look for build users in vain."""
    if facts.system != "Linux" or facts.build_users or MACHINE.foreign_value("auto-allocate-uids") == "true":
        return False
    return MACHINE.foreign_value("build-users-group") in {None, users.GROUP}


def _daemon_environment(context: Context) -> dict[str, str]:
    """Proxies and certificates, for a daemon that we start."""
    environ = network_environment(context.environ)
    if _CERTIFICATES not in environ and tarball.CERTIFICATES.exists():
        environ[_CERTIFICATES] = str(tarball.CERTIFICATE_FILE)
    return environ
