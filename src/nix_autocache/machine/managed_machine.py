"""A machine whose one uploader, set up by root, serves all jobs: what the jobs may know of it, and its socket.

`managed.provision` makes one. The record holds no secret; root writes it and every user can read it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..nix.store import Nix
from ..system import process, record
from ..system.dataclass import dataclass
from ..uploader.process.client import UploaderClient
from ..uploader.process.protocol import Reply
from ..uploader.read_proxy.address import Address
from .paths import JobPaths, Paths

JOB: Final = "machine"  # the queue of every job's builds
_PATIENCE: Final = 5.0  # seconds that an uploader's restart may take
_POLL: Final = 0.05  # seconds


@dataclass(frozen=True, kw_only=True)
class ManagedMachine:
    """The record. `nix_bin` is the directory of Nix's programs, `cache` the cache's URL without secrets, `began` when
    the machine was provisioned first, in seconds since 1970, `reader` where Nix reads the cache unless by itself.

    `clouds` are those whose credentials the uploader uses, `secrets` the files that only root may read, `programs`
    what the uploader runs: its Python, with the library, and the commands in AWS's configuration.
    """

    nix_bin: str
    cache: str
    began: int
    reader: Address | None = None
    clouds: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    @property
    def nix(self) -> Nix:
        return Nix(Path(self.nix_bin))

    def save(self, paths: Paths) -> None:
        record.save(self, _record_path(paths))

    @classmethod
    def load(cls, paths: Paths) -> ManagedMachine | None:
        """None where the machine is not managed."""
        try:
            return record.loads(cls, _record_path(paths).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None


def job_paths(paths: Paths) -> JobPaths:
    return paths.job(JOB)


def status(paths: Paths, seconds: float = _PATIENCE) -> Reply | None:
    """The status of the machine's uploader. None without one, or if it does not answer within `seconds`."""
    uploader, reply = UploaderClient(job_paths(paths).directory), None

    def answered_or_gone() -> bool:
        nonlocal reply
        if ManagedMachine.load(paths) is None:
            return True
        reply = uploader.status()
        return reply is not None

    process.wait_until(answered_or_gone, seconds, poll=_POLL)
    return reply


def forget(paths: Paths) -> None:
    _record_path(paths).unlink(missing_ok=True)


def _record_path(paths: Paths) -> Path:
    return paths.state / "provisioned.json"
