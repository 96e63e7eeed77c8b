"""A machine that root provisioned for all its jobs: what they may know of it, and the socket of its uploader.

How it becomes one is in `provisioning`. The note holds no secret; root writes it and everybody reads it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..nix.store import Nix
from ..system import record
from ..uploader.process.client import UploaderClient
from ..uploader.process.protocol import Reply
from .paths import JobPaths, Paths

JOB: Final = "machine"  # whose queue every job's builds go to
_PATIENCE: Final = 5.0  # seconds that an uploader may take that is being restarted


@dataclass(frozen=True, kw_only=True)
class ManagedMachine:
    """The directory of Nix's programs, the cache's URL as it may be shown, when it was done first, in seconds since
    1970, the port where Nix reads the cache, see `Session`, the `clouds` that the uploader asks for credentials, the
    files with its secrets, which only root may read, and the `programs` that it runs: its Python, with the library, and
    what AWS's configuration names to get credentials."""

    nix_bin: str
    cache: str
    began: int
    reader_port: int
    clouds: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    @property
    def nix(self) -> Nix:
        return Nix(Path(self.nix_bin))

    def save(self, places: Paths) -> None:
        record.save(self, _note(places))

    @classmethod
    def load(cls, places: Paths) -> ManagedMachine | None:
        """None where nothing was provisioned."""
        try:
            values = json.loads(_note(places).read_text(encoding="utf-8"))
            return cls(
                **{**values, **{name: tuple(values.get(name, ())) for name in ("clouds", "secrets", "programs")}}
            )
        except (FileNotFoundError, NotADirectoryError):
            return None


def place(places: Paths) -> JobPaths:
    return places.job(JOB)


def answer(places: Paths, seconds: float = _PATIENCE) -> Reply | None:
    """What the machine's uploader says, tried for some seconds; None where there is none."""
    deadline = time.monotonic() + seconds
    while ManagedMachine.load(places):
        if said := UploaderClient(place(places).directory).status():
            return said
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)
    return None


def forget(places: Paths) -> None:
    _note(places).unlink(missing_ok=True)


def _note(places: Paths) -> Path:
    return places.state / "provisioned.json"
