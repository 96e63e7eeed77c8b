"""KVM for every user: virtual machines in builds need it."""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from ..system.dataclass import dataclass
from ..system.files import set_mode
from . import journal
from .paths import Paths

_DEVICE: Final = Path("/dev/kvm")


@dataclass(frozen=True)
class OpenedKvm(journal.Change):
    """The mode that the device had."""

    kind: ClassVar[str] = "kvm"
    mode: int = 0

    def undo(self, paths: Paths) -> None:
        with suppress(OSError):
            set_mode(_DEVICE, self.mode)


def open_to_all(paths: Paths) -> None:
    """Let every user use KVM, once. The caller holds the lock of `paths`."""
    if _DEVICE.exists() and not journal.is_recorded(paths, OpenedKvm):
        mode = stat.S_IMODE(_DEVICE.stat().st_mode)
        if mode & 0o666 != 0o666:
            journal.record(paths, OpenedKvm(mode))
            set_mode(_DEVICE, mode | 0o666)
