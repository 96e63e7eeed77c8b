"""A process that says that it lives, to whoever starts it again when it does not: systemd, or our own keeper.

The protocol is systemd's (sd_notify(3), sd_watchdog_enabled(3)): $NOTIFY_SOCKET is told `WATCHDOG=1` at least every
$WATCHDOG_USEC. A process without these variables says nothing.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from .files import Owner, set_mode

INTERVAL: Final = 300.0  # seconds: the longest that Nix, a disk and a large queue may take together
_MESSAGE: Final = 4096  # bytes
_OFTEN: Final = 4  # times in the interval


def begin(silence: Callable[[], float]) -> None:
    """From now on say that we live, in a thread, for as long as `silence`, in seconds, is less than the interval."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    try:
        interval = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
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
    """Say it once. An address that begins with `@` is an abstract one."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaker:
        speaker.sendto(b"WATCHDOG=1", "\0" + address[1:] if address.startswith("@") else address)


class Pulse:
    """The other end, for one process at a time: `path` is its socket, which belongs to `owner`. Raises OSError."""

    def __init__(self, path: Path, owner: Owner, interval: float = INTERVAL) -> None:
        self._interval = interval
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind(str(path))
        set_mode(path, 0o600, owner)
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(int(interval * 1e6))}
        self._heard = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def lost(self) -> bool:
        """Whether nothing was heard of the process for longer than the interval, since it was started."""
        with suppress(OSError):
            while self._socket.recv(_MESSAGE):
                self._heard = time.monotonic()
        return time.monotonic() - self._heard > self._interval
