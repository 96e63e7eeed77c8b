"""Whether the job's own code could reach the key, the queue or the store: every way in which it could, as a sentence.

What hardening cannot take away is known before it; what it left is tried afterwards, as the job's user. Without any
such way the job is sealed.
"""

from __future__ import annotations

import getpass
import os
import pwd
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from . import exposure, handover, metadata, privileged, provisioned, pushing, runner
from .context import Context
from .destination import Destination
from .nix import effective
from .nix.conf import Config
from .nix.store import Nix
from .nix.store_url import parse_cache_url
from .places import CONFIGURATION, UNDO, JobPlace, Places
from .provisioned import Provisioned
from .runner import Observations, Row
from .session import Session

_PROGRAMS: Final = ("post-build-hook", "pre-build-hook", "diff-hook", "build-hook")
_SUBSTITUTERS: Final = ("substituters", "trusted-substituters")
_TRUSTED = re.compile("[?&]trusted=(?!false|no|0)")
_DIRECTORIES: Final = (
    "HOME", "TMPDIR", "GITHUB_WORKSPACE", "RUNNER_WORKSPACE", "RUNNER_TEMP", "RUNNER_TOOL_CACHE", "CI_PROJECT_DIR",
)  # fmt: skip
_SHOWN: Final = 3  # paths named in one sentence


@dataclass(frozen=True)
class Isolation:
    """That of one job on the machine that was seen, with the cache that it is to push to."""

    context: Context
    row: Row
    seen: Observations
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
        files = exposure.system_files(self._programs)
        paths = [*exposure.sockets(), *exposure.diagnostics(), *exposure.devices(), *files]
        request = {
            "job": self.context.job_name,
            "user": os.geteuid(),
            "reachable": [str(path) for path in paths],
            "own": [str(path) for path in _own(self.context.environ)],
        }
        hardening = privileged.harden(request, self.context.environ)
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
        found: list[str] = privileged.call("programs", {}, self.context.environ)
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
    by_token, is_open = context.identity is not None, exposure.memory_is_open(hardened=hardened)
    yield from context.host.exposures(as_text, by_token=by_token, memory_is_open=is_open)


def _found(context: Context, place: Destination, session: Session, programs: Iterable[str]) -> Iterator[str]:
    """What this user can still do, now that everything was done."""
    where = context.places
    yield from of_machine(Nix(Path(session.nix_bin)), where, [where.program, *_of_job(context.job)], programs)
    if not context.settings.aws_role:
        asked = metadata.clouds(place.url, place.key_source, context.environ)
        yield from of_credentials(asked, context.environ)


def of_credentials(clouds: Iterable[str], environ: Mapping[str, str]) -> Iterator[str]:
    for service in metadata.answering(tuple(clouds), environ):
        yield f"{service} gives the job's user the credentials that the uploader has"


def _of_job(job: JobPlace) -> tuple[Path, ...]:
    return (job.queue.new, job.queue.failed, job.roots)


def of_machine(nix: Nix, where: Places, kept: Iterable[Path], programs: Iterable[str] = ()) -> Iterator[str]:
    """`kept` is what the uploader works on and with, beside the hook and Nix; `programs` what root runs, beside what
    this user sees of that.

    Root's hook writes into every job's queue: one of an open job of this user could lead it elsewhere.
    """
    jobs = where.jobs.iterdir() if where.jobs.exists() else ()
    yield from exposure.becomes_root()
    yield from exposure.ports()
    if part := exposure.interpreter():
        yield f"the uploader's Python can be changed by the job's user, {part}"
    for what, paths in {
        "the job's user can connect to {}": exposure.sockets(),
        "the job's user can read the memory of another process, as the runner's, by {}": exposure.diagnostics(),
        "the job's user can read disks or memory, {}": exposure.devices(),
        "the job's user can change what root runs, {}": exposure.system_files(programs),
        "the job's user can write Nix's store, {}": exposure.store(),
        "the job's user can change what the uploader works on, {}": _changeable([where.hook, *kept, *jobs]),
        "the job's user can change the Nix that the uploader and root run, {}": _changeable(_programs_of(nix)),
    }.items():
        if paths:
            yield what.format(_names(paths))
    yield from _of_nix(nix, where.hook)


def _programs_of(nix: Nix) -> list[Path]:
    return [Path(nix.program(name)) for name in ("nix-daemon", "nix-store", "nix")]


def _changeable(paths: Iterable[Path]) -> list[Path]:
    return [part for path in paths if (part := exposure.changeable(path))]


def of_provisioned(note: Provisioned, machine: Places, seen: Observations, environ: Mapping[str, str]) -> Iterator[str]:
    """Every way to the key, the queue or the store of a machine that was provisioned, whose jobs hold no secret."""
    if seen.root:
        yield "the job's user is root, so its code could read the key"
        return
    url = parse_cache_url(note.cache)
    if url.scheme == "file" and (directory := exposure.changeable(Path(url.path))):
        yield f"the cache is a directory that the job's user can write, {directory}"
    secrets = [Path(path) for path in note.secrets]
    if readable := [path for path in secrets if os.access(path, os.R_OK)]:
        yield f"the job's user can read the secrets of the machine's uploader, {_names(readable)}"
    kept = (machine.state / "service", machine.state / "packages", CONFIGURATION, *secrets, *map(Path, note.programs))
    yield from of_machine(note.nix, machine, [*kept, *_of_job(provisioned.place(machine))])
    yield from of_credentials(note.clouds, environ)


def _of_nix(nix: Nix, hook: Path) -> Iterator[str]:
    """What the daemon's own configuration gives to everybody."""
    if runner.is_trusted(nix):
        yield "the job's user is a trusted user of the nix-daemon"
    settings = effective.of_machine(nix)
    if settings.get("sandbox") != "true" or settings.get("sandbox-fallback", "false") != "false":
        yield "builds are not always sandboxed, so what runs beside one can change what it makes"
    if settings.get("require-sigs") != "true":
        yield "Nix takes unsigned paths from everybody (require-sigs = false)"
    # Its default is another one for root, who is not asking here.
    if Config(Path("/etc/nix")).value("build-users-group") == "" and settings.get("auto-allocate-uids") != "true":
        yield "builds run as root (build-users-group is empty)"
    if settings.get("post-build-hook") not in {"", str(hook)}:
        yield f"Nix calls another hook, {settings.get('post-build-hook')}"
    for setting in _PROGRAMS:
        words = (Config(Path("/etc/nix")).value(setting) or "").split()
        if words and (part := exposure.changeable(Path(words[0]))):
            yield f"root runs what the job's user can change, {setting} = {part}"
    for file in Config(Path("/etc/nix")).files():
        if part := exposure.changeable(file):
            yield f"Nix takes its configuration from what the job's user can change, {part}"
    for given in settings.get("plugin-files", "").split():
        if part := exposure.changeable(Path(given)):
            yield f"root loads what the job's user can change, plugin-files = {part}"
    for given in re.split(r"[;\s]+", settings.get("builders", "")):
        if given.startswith("@/") and (part := exposure.changeable(Path(given[1:]))):
            yield f"Nix builds on machines that the job's user can name, builders = {part}"
    unsigned = [url for name in _SUBSTITUTERS for url in settings.get(name, "").split() if _TRUSTED.search(url)]
    if unsigned:
        yield f"Nix takes unsigned paths from {', '.join(unsigned)}"
    for given in settings.get("sandbox-paths", "").split():
        if part := exposure.changeable(Path(given.partition("=")[2].rstrip("?") or given.rstrip("?"))):
            yield f"builds see a path that the job's user can change, {part}"


def _own_directory(place: Destination) -> Path | None:
    if place.url.scheme != "file":
        return None
    return exposure.changeable(Path(place.url.path))


def _names(paths: list[Path]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(map(str, paths[:_SHOWN])) + more
