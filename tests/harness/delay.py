"""A TCP proxy that is `delay` seconds away: what a distant server costs, without a distant server.

Run as a program inside a machine's network: `python -m tests.harness.delay PORT TARGET_PORT ROUND_TRIP`, the last in
seconds. A new connection costs a round trip, as its handshake would; bytes arrive half a round trip late, each way.

One loop over `select`, whose timeouts are in microseconds: asyncio's are in milliseconds, and its streams took so much
of the processors that what was measured was the proxy.
"""

import heapq
import itertools
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.harness.machine import Machine
from tests.harness.tools import PROJECT

PIECE = 1 << 18
ROOM = 16 << 20  # bytes under way in one direction of one connection


class Direction:
    """The data on the way from `source` to `sink`: pieces and the times when they are due; an empty one is the end."""

    def __init__(self, source: socket.socket, sink: socket.socket, opens: float) -> None:
        self.source, self.sink, self.opens = source, sink, opens
        self.under_way: deque[tuple[float, bytes]] = deque()
        self.size = 0
        self.ended = self.blocked = False

    def receive(self, delay: float) -> float:
        """Read once; when that is due."""
        try:
            piece = self.source.recv(PIECE)
        except OSError:
            piece = b""
        self.ended = not piece
        due = max(time.monotonic(), self.opens) + delay
        self.under_way.append((due, piece))
        self.size += len(piece)
        return due

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

    def __init__(self, port: int, target: int, round_trip: float) -> None:
        self.target, self.round_trip = target, round_trip
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
                heapq.heappush(self._due, (way.receive(self.round_trip / 2), next(self._numbers), way))
        for sink in writable:
            blocked[sink].pass_on()
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2].pass_on()
        self.forget()

    def accept(self) -> None:
        client, _ = self.listening.accept()
        onward = socket.create_connection(("127.0.0.1", self.target))
        opens = time.monotonic() + self.round_trip
        for source, sink in ((client, onward), (onward, client)):
            source.setblocking(False)
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.directions[source] = Direction(source, sink, opens)

    def forget(self) -> None:
        """Close what ended on both sides."""
        for source, way in list(self.directions.items()):
            back = self.directions.get(way.sink)
            if way.done and back and back.done:
                for one in (source, way.sink):
                    del self.directions[one]
                    one.close()


@contextmanager
def delayed(machine: Machine, target: int, round_trip: float, port: int = 7000) -> Iterator[int]:
    """The proxy in a machine's network, in front of `target`; the port to use instead."""
    command = ["nsenter", f"--net=/proc/{machine.init}/ns/net", sys.executable, "-m", "tests.harness.delay"]
    words = [*command, str(port), str(target), str(round_trip)]
    with subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield port
        finally:
            process.kill()


if __name__ == "__main__":
    proxy = Proxy(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    print("ready", flush=True)
    proxy.run()
