"""A TCP proxy in front of a distant server, or of one that thinks: what they cost, without either.

Run as a program inside a machine's network: `python -m tests.harness.delay PORT TARGET_PORT ROUND_TRIP THINKING`, the
last two in seconds. A new connection costs a round trip, as its handshake would; bytes arrive half a round trip late,
each way. A server that thinks takes the requests of one connection one after the other, each `THINKING` seconds after
it has all of it.

One loop of our own: asyncio's timeouts are in milliseconds, and its streams took so much of the processors that what
was measured was the proxy.
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
        except BlockingIOError:  # it was told of an earlier socket of this number
            return []
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
    """Everything in one thread; a turn takes the same time for one connection as for a hundred, as on a network."""

    def __init__(self, port: int, target: int, round_trip: float, thinking: float) -> None:
        self.target, self.round_trip, self.thinking = target, round_trip, thinking
        self.listening = socket.create_server(("127.0.0.1", port), backlog=512)
        self.directions: dict[int, Direction] = {}  # by the descriptor of their source
        self._due: list[tuple[float, int, Direction]] = []
        self._numbers = itertools.count()
        self._events = select.epoll()
        self._events.register(self.listening, select.EPOLLIN)
        self._watched: dict[int, int] = {}  # what is waited for, by descriptor

    def run(self) -> None:
        while True:
            self.turn()

    def turn(self) -> None:
        wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
        if select.select([self._events], [], [], wait)[0]:  # epoll's own timeout is in milliseconds
            for descriptor, events in self._events.poll(0):
                self.attend(descriptor, events)
        while self._due and self._due[0][0] <= time.monotonic():
            way = heapq.heappop(self._due)[2]
            way.pass_on()
            self.follow(way)

    def attend(self, descriptor: int, events: int) -> None:
        if descriptor == self.listening.fileno():
            self.accept()
        elif way := self.directions.get(descriptor):
            back = self.directions[way.sink.fileno()]
            if events & ~select.EPOLLOUT and not way.ended:
                for due in way.receive(self.round_trip / 2):
                    heapq.heappush(self._due, (due, next(self._numbers), way))
            if events & select.EPOLLOUT:
                back.pass_on()
            self.follow(way)

    def accept(self) -> None:
        client, _ = self.listening.accept()
        onward = socket.create_connection(("127.0.0.1", self.target))
        opens = time.monotonic() + self.round_trip
        for source, sink, thinking in ((client, onward, self.thinking), (onward, client, 0.0)):
            source.setblocking(False)
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.directions[source.fileno()] = Direction(source, sink, opens, thinking)
        self.follow(self.directions[client.fileno()])

    def follow(self, way: Direction) -> None:
        """After what happened in one direction: wait for what comes next in both, or close what ended on both sides."""
        if way.source.fileno() < 0:
            return
        back = self.directions[way.sink.fileno()]
        ended = way.done and back.done
        for one, other in ((way, back), (back, way)):
            readable = not one.ended and one.size < ROOM
            self._watch(one.source, 0 if ended else select.EPOLLIN * readable | select.EPOLLOUT * other.blocked)
        if ended:
            for one in (way, back):
                del self.directions[one.source.fileno()]
                one.source.close()

    def _watch(self, one: socket.socket, events: int) -> None:
        before = self._watched.pop(one.fileno(), 0)
        if events:
            self._watched[one.fileno()] = events
        if events and not before:
            self._events.register(one, events)
        elif before and not events:  # else it would tell of the other side's end for ever
            self._events.unregister(one)
        elif events != before:
            self._events.modify(one, events)


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
