"""Whether the job's own code could reach the key, the queue or the store: every way in which it could, as a sentence.

What hardening cannot take away is known before it; what it left is tried afterwards, as the job's user. Without any
such way the job is sealed.
"""

from __future__ import annotations

import getpass
import os
import pwd
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from . import handover, pushing
from .context import Context
from .destination import Destination
from .machine import managed_machine, root
from .machine.managed_machine import ManagedMachine
from .machine.modes import ModeRule
from .machine.observe import Facts
from .machine.paths import CONFIGURATION, UNDO, JobPaths, Paths
from .nix.store import Nix
from .nix.store_url import parse_cache_url
from .session import Session
from .trust import metadata, probes
from .trust.isolation import named, of_credentials, of_machine

_DIRECTORIES: Final = (
    "HOME", "TMPDIR", "GITHUB_WORKSPACE", "RUNNER_WORKSPACE", "RUNNER_TEMP", "RUNNER_TOOL_CACHE", "CI_PROJECT_DIR",
)  # fmt: skip


@dataclass(frozen=True)
class Isolation:
    """That of one job on the machine that was seen, with the cache that it is to push to."""

    context: Context
    row: ModeRule
    seen: Facts
    place: Destination

    @property
    def apart(self) -> bool:
        """Whether the uploader is to be a user of its own: where root is to be taken away, and it can do its work."""
        hardens = self.context.settings.harden and self._can_harden and self.row.mode.daemon
        return hardens and self.place.url.row.any_user and not _own_directory(self.place)

    @property
    def foreseen(self) -> tuple[str, ...]:
        """What stands against a sealed job before anything is done."""
        return self._known(hardened=False)

    def _known(self, *, hardened: bool) -> tuple[str, ...]:
        if self.seen.root:
            return ("the job's user is root, so its code could read the key",)
        if not self.row.mode.daemon:
            return ("the uploader runs as the job's own user, so its code could take the key",)
        if not self.context.settings.harden:
            why = "the job's user can become root, so its code could read the key (`harden: true` takes that away)"
            return (why,)
        return tuple(_of_secrets(self.context, self.place, hardened=hardened))

    @contextmanager
    def taking_root_away(self) -> Iterator[None]:
        """Take root away from the job's user, where that is asked for and can be; given back if the block fails."""
        if not (self.context.settings.harden and self._can_harden):
            yield
            return
        files = probes.system_files(self._programs)
        paths = [*probes.sockets(), *probes.diagnostics(), *probes.devices(), *files]
        request = {
            "job": self.context.job_name,
            "user": os.geteuid(),
            "reachable": [str(path) for path in paths],
            "own": [str(path) for path in _own(self.context.environ)],
        }
        hardening = root.harden(request, self.context.environ)
        try:
            yield
        except BaseException:
            if not hardening.give_up():
                self.context.host.warning(f"this machine stays hardened; {UNDO}, run by root, ends that")
            raise
        hardening.keep()

    def judge(self, session: Session) -> Session:
        """Judge a job anew, whose user root was taken from, by what is still in that user's reach."""
        left = self._known(hardened=True)
        if self._can_harden:
            self._warn_of_later_jobs()
            left = (*left, *_found(self.context, self.place, session, self._programs))
        for way in left:
            self.context.host.warning(f"harden: {way}")
        verdict = pushing.judge(self.context, self.place, left)
        pushing.announce(self.context, self.place, verdict)
        return session.judged(verdict)

    @cached_property
    def _programs(self) -> list[str]:
        """What root's processes were started from, asked while there is a root to ask."""
        found: list[str] = root.call("programs", {}, self.context.environ)
        return found

    @property
    def _can_harden(self) -> bool:
        return self.seen.sudo and not self.seen.root

    def _warn_of_later_jobs(self) -> None:
        if not self.context.host.ephemeral:
            self.context.host.warning(
                f"this machine's user {getpass.getuser()} cannot become root any more, in later jobs neither; "
                f"{UNDO}, run by root, brings that back"
            )


def _own(environ: Mapping[str, str]) -> Iterator[Path]:
    """Directories that the job's user works in: what root runs from there is named, and not taken away."""
    yield Path.cwd()
    with suppress(KeyError):
        yield Path(pwd.getpwuid(os.geteuid()).pw_dir)
    for name in _DIRECTORIES:
        if os.path.isabs(environ.get(name, "")):
            yield Path(environ[name])


def _of_secrets(context: Context, place: Destination, *, hardened: bool) -> Iterator[str]:
    if not place.url.row.any_user:
        yield f"uploads to {place.url.scheme} are made with the rights of the job's own user"
    if directory := _own_directory(place):
        yield f"the cache is a directory that the job's user can write, {directory}"
    as_text = handover.as_text(place, context.environ)
    yield from handover.files_that_stay(place, context.environ)
    by_token, is_open = context.identity is not None, probes.memory_is_open(hardened=hardened)
    yield from context.host.exposures(as_text, by_token=by_token, memory_is_open=is_open)


def _found(context: Context, place: Destination, session: Session, programs: Iterable[str]) -> Iterator[str]:
    """What this user can still do, now that everything was done."""
    where = context.places
    yield from of_machine(
        Nix(Path(session.nix_bin)), where.hook, where.jobs, [where.program, *_of_job(context.job)], programs
    )
    if not context.settings.aws_role:
        asked = metadata.clouds(place.url, place.key_source, context.environ)
        yield from of_credentials(asked, context.environ)


def _of_job(job: JobPaths) -> tuple[Path, ...]:
    return (job.queue.new, job.queue.failed, job.roots)


def of_provisioned(note: ManagedMachine, machine: Paths, seen: Facts, environ: Mapping[str, str]) -> Iterator[str]:
    """Every way to the key, the queue or the store of a machine that was provisioned, whose jobs hold no secret."""
    if seen.root:
        yield "the job's user is root, so its code could read the key"
        return
    url = parse_cache_url(note.cache)
    if url.scheme == "file" and (directory := probes.changeable(Path(url.path))):
        yield f"the cache is a directory that the job's user can write, {directory}"
    secrets = [Path(path) for path in note.secrets]
    if readable := [path for path in secrets if os.access(path, os.R_OK)]:
        yield f"the job's user can read the secrets of the machine's uploader, {named(readable)}"
    kept = (machine.state / "service", machine.state / "packages", CONFIGURATION, *secrets, *map(Path, note.programs))
    yield from of_machine(note.nix, machine.hook, machine.jobs, [*kept, *_of_job(managed_machine.place(machine))])
    yield from of_credentials(note.clouds, environ)


def _own_directory(place: Destination) -> Path | None:
    if place.url.scheme != "file":
        return None
    return probes.changeable(Path(place.url.path))
