"""The uploader put on a machine and taken away again: its program, its packages, and what keeps it running."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ...ci.local import Local
from ...errors import InputError, RunnerError
from ...nix.daemon import systemd
from ...nix.daemon.supervisor import SOCKET
from ...nix.store import Nix
from ...queue import hook
from ...schemes import TOKEN_FILES
from ...system import own_copy, probe
from ...system.files import make_directory, make_file
from ...trust import metadata, probes
from ...uploader.process.protocol import Reply
from ...uploader.read_proxy import launch
from .. import managed_machine, uploader_user
from ..managed_machine import ManagedMachine
from ..packages import locked
from ..paths import STATE, Paths
from . import keeper
from . import systemd as unit
from .configuration import Configuration

_HIDDEN: Final = (Path("/home"), Path("/root"), Path("/run/user"), Path("/tmp"))  # noqa: S108 - from the service
_PATIENCE: Final = 30.0  # seconds for its first word


class Machine(Local):
    """The Platform of a machine that is provisioned: whoever does it is trusted, and there is one job."""

    def job_id(self) -> str:
        return managed_machine.JOB


def check() -> None:
    """Raises RunnerError where a service of another user could not run this."""
    if os.geteuid() != 0:
        raise RunnerError("provision changes the machine for all its users: run it as root")
    if any(Path(sys.executable).is_relative_to(directory) for directory in _HIDDEN):
        raise RunnerError(f"a service cannot use {sys.executable}, which belongs to a user; take /usr/bin/python3")
    if reason := hook.obstacle(STATE / "hook"):
        raise RunnerError(f"provision: {reason}; mount it without noexec")


def prepare(places: Paths, told: Configuration, nix: Nix) -> ManagedMachine:
    """What must be there before Nix is told of anything: packages, for jobs too, and a daemon that outlives a boot."""
    make_directory(places.state, 0o755)
    if (url := told.settings.cache) and url.scheme == "file":
        _make_cache(Path(url.path), places)
    for made in (locked.shared(None, {}), locked.shared(told.settings, told.environ)):
        if made.directory is None:
            made.begin().finish()
    if probe.systemd() and not systemd.known():
        make_file(_note_of_daemon(places), 0o644)
        make_file(places.daemon_environment, 0o600)
        systemd.write(nix.program("nix-daemon"), places.daemon_environment)
    note = _note(places, told, nix)
    note.save(places)
    return note


@contextmanager
def reader_socket(places: Paths, note: ManagedMachine) -> Iterator[launch.Waiting | None]:
    """The socket where Nix is to read the cache, before Nix is told of it; None where the service has it already.

    Raises RunnerError when another program has the port.
    """
    if not note.reader_port or (unit.is_active() if probe.systemd() else keeper.runs(places)):
        yield None
        return
    try:
        waiting = launch.Waiting(launch.listen(note.reader_port))
    except OSError as error:
        raise RunnerError(
            f"port {note.reader_port} of {launch.HOST}, where Nix is to read the cache: {error.strerror}; "
            "end the program that has it, and provision again"
        ) from None
    try:
        yield waiting
    finally:
        waiting.end()


def start(places: Paths, told: Configuration, note: ManagedMachine, waiting: launch.Waiting | None) -> Reply:
    """Start the uploader, or start it anew with what changed; its first word. Raises RunnerError."""
    (program,) = own_copy.make(places.state / "service", [], compiled=True)
    uploader_user.write_undo(program)
    packages = locked.shared(told.settings, told.environ).directory
    variables = {
        "HOME": uploader_user.HOME,
        "PYTHONPATH": f"{program}:{packages}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
    }
    command = [sys.executable, "-sP", "-m", f"{__package__}.service"]
    job = managed_machine.place(places)
    writable = [job.directory, job.roots]
    if (url := told.settings.cache) and url.scheme == "file":
        writable.append(Path(url.path))
    if probe.systemd():
        if waiting:
            waiting.end()  # systemd takes the port at once, or says that it cannot
        unit.start(command, variables, told.secrets, writable, note.reader_port)
    else:
        keeper.start(command, variables, places, program, waiting.descriptor if waiting else None)
    return _first_word(places)


def remove(places: Paths) -> None:
    """Stop the uploader, and forget that the machine was provisioned."""
    managed_machine.forget(places)
    unit.remove()
    keeper.stop(places)
    if _note_of_daemon(places).exists():
        systemd.remove()
        SOCKET.unlink(missing_ok=True)  # systemd leaves it, and who finds it thinks that there is a daemon


def _note(places: Paths, told: Configuration, nix: Nix) -> ManagedMachine:
    """Done again, it keeps what Nix and the store know of the first time."""
    url = told.settings.cache
    assert url, "configuration.load sees to it"
    earlier = ManagedMachine.load(places)
    port = (earlier.reader_port if earlier else 0) or launch.free_port()
    return ManagedMachine(
        nix_bin=str(nix.bin),
        cache=url.without_secrets,
        began=earlier.began if earlier else int(time.time()),
        reader_port=port if url.needs_reader else 0,
        secrets=(*map(str, told.secret_files), *(told.environ[name] for name in TOKEN_FILES if name in told.environ)),
        programs=(*map(str, probes.parts_of_python()), *told.helpers()),
        clouds=metadata.clouds(url, told.settings.signing_key, told.environ),
    )


def _note_of_daemon(places: Paths) -> Path:
    """There where Nix was left without a unit for its daemon, and has one of ours."""
    return places.state / "daemon-unit-made"


def _make_cache(directory: Path, places: Paths) -> None:
    """A cache that is a directory of this machine belongs to the uploader's user, if it is not there yet.

    Before Nix is told of it, which makes a cache that it is only to read. Raises InputError and RunnerError.
    """
    if probe.systemd() and any(directory.is_relative_to(hidden) for hidden in _HIDDEN):
        raise InputError(
            f"cache: file://{directory} is hidden from the service; take one outside of {directory.parts[1]}"
        )
    owner = uploader_user.owner(places)
    try:
        make_directory(directory.parent, 0o755)
        make_directory(directory, 0o755, owner)
        if directory.stat().st_uid == owner[0]:
            make_directory(directory / "nar", 0o755, owner)
    except OSError as error:
        raise RunnerError(f"cannot make the cache {directory}: {error.strerror}") from None


def _first_word(places: Paths) -> Reply:
    if answer := managed_machine.answer(places, _PATIENCE):
        return answer
    where = f"journalctl -u {unit.NAME}" if probe.systemd() else f"tail {keeper.log(places)}"
    raise RunnerError(f"the uploader does not answer; see `{where}`")
