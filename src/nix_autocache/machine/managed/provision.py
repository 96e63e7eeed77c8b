"""The uploader put on a machine and removed again: its program, its packages, and what keeps it running."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

from ...ci.local import Local
from ...errors import InputError, RunnerError
from ...nix.daemon import systemd as nix_systemd
from ...nix.store import Nix
from ...queue import hook
from ...schemes.table import token_files
from ...system import own_copy, probe
from ...system.dataclass import dataclass
from ...system.files import make_directory
from ...trust import metadata, system_files
from ...uploader.process.protocol import Reply
from ...uploader.read_proxy import launch
from ...uploader.read_proxy.address import HOST, Address
from .. import daemon_unit, journal, managed_machine, uploader_user
from ..managed_machine import ManagedMachine
from ..packages import installation
from ..packages import locked as packages
from ..paths import STATE, Paths
from ..state_directory import locked
from . import keeper, systemd, uploader_log
from .configuration import Configuration

_HIDDEN: Final = (Path("/home"), Path("/root"), Path("/run/user"), Path("/tmp"))  # noqa: S108 - from the service
_PATIENCE: Final = 30.0  # seconds for its first reply


@dataclass(frozen=True)
class ManagedUploader(journal.Change):
    """An uploader was started that serves all jobs. It needs its user, and the job that is registered for it: these
    are recorded before and undone after."""

    kind: ClassVar[str] = "managed"

    def undo(self, paths: Paths) -> None:
        managed_machine.forget(paths)
        systemd.remove()
        keeper.stop(paths)


class ProvisioningHost(Local):
    """The host while a machine is provisioned: its only job is the queue of all jobs."""

    def job_id(self) -> str:
        return managed_machine.JOB


def check() -> None:
    """Raise RunnerError where another user's service could not run this program."""
    if sys.platform != "linux":
        raise RunnerError("provision works on Linux only; elsewhere each job uploads what it builds: run `setup` there")
    if os.geteuid() != 0:
        raise RunnerError("provision changes the machine for all its users: run it as root")
    if any(Path(sys.executable).is_relative_to(directory) for directory in _HIDDEN):
        raise RunnerError(f"a service cannot use {sys.executable}, which belongs to a user; take /usr/bin/python3")
    if reason := hook.obstacle(STATE / "hook"):
        raise RunnerError(f"provision: {reason}; mount it without noexec")


def prepare(paths: Paths, configuration: Configuration, nix: Nix) -> ManagedMachine:
    """Prepare all that must be there before Nix's configuration changes: the cache's directory, packages for uploader
    and jobs, a daemon that outlives a reboot. Returns the record. Raises InputError and RunnerError."""
    settings = configuration.settings
    with locked(paths):
        if (url := settings.cache) and url.directory:
            _make_cache(url.directory, paths)
    for wanted in (packages.shared(None, {}), packages.shared(settings, configuration.environ)):
        if wanted.directory is None:
            installation.begin(wanted).finish()
    with locked(paths):
        if probe.systemd() and not nix_systemd.known():
            daemon_unit.make(paths, nix)
        record = _record(paths, configuration, nix)
        record.save(paths)
    return record


@contextmanager
def reader_socket(paths: Paths, record: ManagedMachine) -> Iterator[launch.Placeholder | None]:
    """The socket where Nix will read the cache, open before Nix knows of it; None where the service has it already.

    Raises RunnerError when another program has the port.
    """
    if not record.reader or (systemd.is_active() if probe.systemd() else keeper.runs(paths)):
        yield None
        return
    try:
        waiting = launch.Placeholder(launch.listen(record.reader.port), record.reader.nonce)
    except OSError as error:
        raise RunnerError(
            f"port {record.reader.port} of {HOST}, where Nix reads the cache: {error.strerror}; "
            "end the program that has it, and provision again"
        ) from None
    try:
        yield waiting
    finally:
        waiting.end()


def start(
    paths: Paths, configuration: Configuration, record: ManagedMachine, waiting: launch.Placeholder | None
) -> Reply:
    """Start the uploader, or restart it with what changed. Returns its first reply. Raises RunnerError."""
    with locked(paths):
        journal.record(paths, ManagedUploader())
    (program,) = own_copy.make(paths.state / "service", [], compiled=True)
    uploader_user.write_undo(program)
    directory = packages.shared(configuration.settings, configuration.environ).directory
    variables = {
        "HOME": uploader_user.HOME,
        "PYTHONPATH": f"{program}:{directory}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
    }
    command = [sys.executable, "-sP", "-m", f"{__package__}.service"]
    job = managed_machine.job_paths(paths)
    writable = [job.directory, job.roots]
    if (url := configuration.settings.cache) and url.directory:
        writable.append(url.directory)
    if probe.systemd():
        if waiting:
            waiting.end()  # systemd takes the port at once, or reports that it cannot
        systemd.start(command, variables, configuration.secrets, writable, record.reader)
    else:
        keeper.start(command, variables, paths, program, waiting.descriptor if waiting else None)
    return _first_reply(paths)


def _record(paths: Paths, configuration: Configuration, nix: Nix) -> ManagedMachine:
    """When a machine is provisioned again, it keeps the address that Nix knows and the time of its first builds."""
    url = configuration.settings.cache
    assert url, "configuration.load checks it"
    environ = configuration.environ
    earlier = ManagedMachine.load(paths)
    reader = (earlier.reader if earlier else None) or Address.fresh(launch.free_port())
    return ManagedMachine(
        nix_bin=str(nix.bin),
        cache=url.without_secrets,
        began=earlier.began if earlier else int(time.time()),
        reader=reader if url.wants_reader else None,
        secrets=(*map(str, configuration.secret_files), *(environ[name] for name in token_files() if name in environ)),
        programs=(*map(str, system_files.parts_of_python()), *configuration.helpers()),
        clouds=metadata.clouds(url, configuration.settings.signing_key, environ),
    )


def _make_cache(directory: Path, paths: Paths) -> None:
    """Make a cache in a directory, for the uploader's user; an existing one keeps its owner.

    This comes first since Nix itself makes a cache that it is only to read. Raises InputError and RunnerError.
    """
    if probe.systemd() and any(directory.is_relative_to(hidden) for hidden in _HIDDEN):
        raise InputError(
            f"cache: file://{directory} is hidden from the service; take one outside of {directory.parts[1]}"
        )
    owner = uploader_user.owner(paths)
    try:
        make_directory(directory.parent, 0o755)
        make_directory(directory, 0o755, owner)
        if directory.stat().st_uid == owner[0]:
            make_directory(directory / "nar", 0o755, owner)
    except OSError as error:
        raise RunnerError(f"cannot make the cache {directory}: {error.strerror}") from None


def _first_reply(paths: Paths) -> Reply:
    if reply := managed_machine.status(paths, _PATIENCE):
        return reply
    where = f"journalctl -u {systemd.NAME}" if probe.systemd() else f"tail {uploader_log.path(paths)}"
    raise RunnerError(f"the uploader does not answer; see `{where}`")
