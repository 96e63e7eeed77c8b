"""What the read proxy tells the uploader, see `nix_reading`: a line of JSON for each narinfo that Nix asked for."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from typing import Final

_TOGETHER: Final = 0.05  # seconds in which lines are collected: a write for each would cost as much as an answer
_MOST: Final = 4000  # lines that wait for the uploader; what comes then is lost


class Reports:
    """Lines for the descriptor of a pipe. One that nobody empties loses lines: Nix must not wait for it.

    Used from many threads at once, without a lock that they would wait for.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._some = threading.Event()
        threading.Thread(target=self._write, name="reports", daemon=True).start()

    def used(self, name: str, narinfo: bytes, *, carry: bool = False) -> None:
        """Nix was given this narinfo; with `carry`, perhaps only the period before has it."""
        said = {"name": name, "narinfo": narinfo.decode("utf-8", "replace")}
        self._add(json.dumps({**said, "carry": True} if carry else said))

    def missed(self, name: str, asked: float) -> None:
        """The cache itself said that it has none; it was asked when `time.monotonic` said `asked`."""
        self._add(f'{{"name": "{name}", "missed": {asked}}}')

    def known(self, known: str) -> None:
        """The cache looked up what it holds, see `Indexed.known`."""
        self._add(json.dumps({"known": known}))

    def _add(self, line: str) -> None:
        if len(self._lines) < _MOST:
            self._lines.append(f"{line}\n".encode())
            if not self._some.is_set():
                self._some.set()

    def _write(self) -> None:
        while self._some.wait():
            time.sleep(_TOGETHER)
            self._some.clear()
            self._rest = self._rest or b"".join(self._lines.popleft() for _ in range(len(self._lines)))
            try:
                self._rest = self._rest[os.write(self._descriptor, self._rest) :]
            except BlockingIOError:
                pass  # the uploader is slow
            except OSError:
                return  # it has gone
            if self._rest or self._lines:
                self._some.set()
