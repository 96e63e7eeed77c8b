"""A TCP proxy in front of a distant server, or of one that thinks: what they cost, without either.

Run as a program inside a machine's network: `python -m tests.harness.delay PORT TARGET_PORT ROUND_TRIP THINKING`, the
last two in seconds. A new connection costs a round trip, as its handshake would; bytes arrive half a round trip late,
each way. A server that thinks takes the requests of one connection one after the other, each `THINKING` seconds after
it has all of it.

One loop over `select`, whose timeouts are in microseconds: asyncio's are in milliseconds, and its streams took so much
of the processors that what was measured was the proxy.
"""

import heapq
import itertools
import os
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.harness.machine import Machine
from tests.harness.requests import Requests
from tests.harness.tools import PROJECT

PIECE = 1 << 18
ROOM = 16 << 20  # bytes under way in one direction of one connection


class Direction:
    """The data on the way from `source` to `sink`: pieces and the times when they are due; an empty one is the end.

    With `thinking` it carries requests, of which each is due so many seconds later.
    """

    def __init__(self, source: socket.socket, sink: socket.socket, opens: float, thinking: float) -> None:
        self.source, self.sink, self.opens, self.thinking = source, sink, opens, thinking
        self._requests = Requests()
        self._last = 0.0  # when the last piece of a request is due: nothing overtakes it
        self.under_way: deque[tuple[float, bytes]] = deque()
        self.size = 0
        self.ended = self.blocked = False

    def receive(self, delay: float) -> list[float]:
        """Read once; when the pieces of that are due."""
        try:
            piece = self.source.recv(PIECE)
        except OSError:
            piece = b""
        self.ended = not piece
        due = max(time.monotonic(), self.opens) + delay
        self.size += len(piece)
        dues: list[float] = []
        for part, ends_request in self._requests.split(piece) if self.thinking and piece else [(piece, False)]:
            due = self._last = max(due, self._last) + (self.thinking if ends_request else 0.0)
            self.under_way.append((due, part))
            dues.append(due)
        return dues

    def pass_on(self) -> None:
        """Send what is due, as far as the other side takes it."""
        self.blocked = False
        while self.under_way and self.under_way[0][0] <= time.monotonic():
            due, piece = self.under_way.popleft()
            if not piece:
                with suppress(OSError):
                    self.sink.shutdown(socket.SHUT_WR)
                return
            try:
                sent = self.sink.send(piece)
            except BlockingIOError:
                sent = 0
            except OSError:
                sent = len(piece)  # nobody wants it any more
            self.size -= sent
            if sent < len(piece):
                self.under_way.appendleft((due, piece[sent:]))
                self.blocked = True
                return

    @property
    def done(self) -> bool:
        return self.ended and not self.under_way


class Proxy:
    """Everything in one thread."""

    def __init__(self, port: int, target: int, round_trip: float, thinking: float) -> None:
        self.target, self.round_trip, self.thinking = target, round_trip, thinking
        self.listening = socket.create_server(("127.0.0.1", port), backlog=512)
        self.directions: dict[socket.socket, Direction] = {}  # by their source
        self._due: list[tuple[float, int, Direction]] = []
        self._numbers = itertools.count()

    def run(self) -> None:
        while True:
            self.turn()

    def turn(self) -> None:
        wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
        directions = self.directions.values()
        sources = [way.source for way in directions if not way.ended and way.size < ROOM]
        blocked = {way.sink: way for way in directions if way.blocked}
        readable, writable, _ = select.select([self.listening, *sources], blocked, [], wait)
        for source in readable:
            if source is self.listening:
                self.accept()
            else:
                way = self.directions[source]
                for due in way.receive(self.round_trip / 2):
                    heapq.heappush(self._due, (due, next(self._numbers), way))
        for sink in writable:
            blocked[sink].pass_on()
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2].pass_on()
        self.forget()

    def accept(self) -> None:
        client, _ = self.listening.accept()
        onward = socket.create_connection(("127.0.0.1", self.target))
        opens = time.monotonic() + self.round_trip
        for source, sink, thinking in ((client, onward, self.thinking), (onward, client, 0.0)):
            source.setblocking(False)
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.directions[source] = Direction(source, sink, opens, thinking)

    def forget(self) -> None:
        """Close what ended on both sides."""
        for source, way in list(self.directions.items()):
            back = self.directions.get(way.sink)
            if way.done and back and back.done:
                for one in (source, way.sink):
                    del self.directions[one]
                    one.close()


@contextmanager
def delayed(
    machine: Machine,
    target: int,
    round_trip: float,
    port: int = 7000,
    *,
    thinking: float = 0.0,
    processors: frozenset[int] = frozenset(),
) -> Iterator[int]:
    """The proxy in a machine's network, in front of `target`; the port to use instead.

    It may be kept to some `processors`, as it stands for another machine.
    """
    command = ["nsenter", f"--net=/proc/{machine.init}/ns/net", sys.executable, "-m", "tests.harness.delay"]
    words = [*command, str(port), str(target), str(round_trip), str(thinking)]
    with subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        try:
            if processors:
                os.sched_setaffinity(process.pid, processors)
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield port
        finally:
            process.kill()


if __name__ == "__main__":
    proxy = Proxy(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
    print("ready", flush=True)
    proxy.run()
