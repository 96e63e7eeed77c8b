"""What the read proxy tells the uploader, see `nix_reading`: a line of JSON for each narinfo that Nix asked for."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress


class Reports:
    """Lines for the descriptor of a pipe. One that nobody empties loses lines: Nix must not wait for it.

    Used from many threads at once.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._rest = b""

    def used(self, name: str, narinfo: bytes) -> None:
        """Nix was given this narinfo."""
        self._write({"name": name, "narinfo": narinfo.decode("utf-8", "replace")})

    def missed(self, name: str, asked: float) -> None:
        """The cache itself said that it has none; it was asked when `time.monotonic` said `asked`."""
        self._write({"name": name, "missed": asked})

    def _write(self, said: dict[str, str | float]) -> None:
        line = json.dumps(said).encode() + b"\n"
        with self._lock, suppress(OSError):
            begun = self._rest or line  # what is half written comes first, and this line is lost
            self._rest = begun[os.write(self._descriptor, begun) :]
