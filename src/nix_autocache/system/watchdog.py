"""A watchdog: a process reports that it works, and systemd or our own keeper restarts it if it stops reporting.

The protocol is systemd's (sd_notify(3), sd_watchdog_enabled(3)): `WATCHDOG=1` goes to $NOTIFY_SOCKET at least every
$WATCHDOG_USEC. Without these variables, nothing is sent.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from .files import Owner, set_mode

INTERVAL: Final = 300.0  # seconds; Nix, a disk and a large queue together take less
_MESSAGE: Final = 4096  # bytes
_OFTEN: Final = 4  # reports in each interval


def begin(silence: Callable[[], float], environ: Mapping[str, str]) -> None:
    """Report from a thread, as long as `silence()`, in seconds, is less than the interval."""
    address = environ.get("NOTIFY_SOCKET", "")
    try:
        interval = int(environ.get("WATCHDOG_USEC", "0")) / 1e6
    except ValueError:
        return
    if address and interval > 0:
        threading.Thread(target=_say, args=(address, interval, silence), name="watchdog", daemon=True).start()


def _say(address: str, interval: float, silence: Callable[[], float]) -> None:
    while True:
        if silence() < interval:
            notify(address)
        threading.Event().wait(interval / _OFTEN)


def notify(address: str) -> None:
    """Send one report. An address that begins with `@` is an abstract socket."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
        speaker.sendto(b"WATCHDOG=1", "\0" + address[1:] if address.startswith("@") else address)


class Pulse:
    """The receiving end, for one process at a time. `owner` owns its socket `path`. Raises OSError."""

    def __init__(self, path: Path, owner: Owner, interval: float = INTERVAL) -> None:
        self._interval = interval
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))
        set_mode(path, 0o600, owner)
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(int(interval * 1e6))}
        self._heard = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def lost(self) -> bool:
        """True if no report came for longer than the interval."""
        with suppress(OSError):
            while self._socket.recv(_MESSAGE):
                self._heard = time.monotonic()
        return time.monotonic() - self._heard > self._interval
