"""Passes an open file to a process that cannot inherit it: sudo closes all descriptors but the first three."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from .sockets import peer
from .trees import temporary_directory

_PATIENCE: Final = 30.0  # seconds for root to fetch it


@contextmanager
def offered(descriptor: int) -> Iterator[str]:
    """During the block, root or this user can fetch `descriptor` once, with `received` and the path that is yielded."""
    with (
        temporary_directory() as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as offering,
    ):
        path = str(directory / "descriptor")
        offering.bind(path)
        offering.listen(1)
        offering.settimeout(_PATIENCE)
        threading.Thread(target=_hand_out, args=(offering, descriptor), daemon=True).start()
        yield path


def _hand_out(offering: socket.socket, descriptor: int) -> None:
    with suppress(OSError):
        taker, _ = offering.accept()
        with taker:
            if peer(taker) in {0, os.geteuid()}:
                socket.send_fds(taker, [b"."], [descriptor])


def received(path: str) -> int:
    """Fetch the descriptor that is offered at `path`. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as taker:
        taker.settimeout(_PATIENCE)
        taker.connect(path)
        _, descriptors, _, _ = socket.recv_fds(taker, 1, 1)
    if not descriptors:
        raise OSError("no descriptor was handed out")
    return descriptors[0]
