"""A proxy that misbehaves as it is told: what a distant cache does on a bad day, in front of a real one.

Run as a program inside a machine's network: `python -m tests.harness.faults PORT TARGET_PORT PLAN LOG`. PLAN is a file,
read again for every request: a first line with a regular expression for `METHOD /path`, then a fault a line, of which
each request that matches takes the next, round and round. LOG gets a line for each request: when, what, which fault.
"""

import asyncio
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.machine import Machine
from tests.harness.tools import PROJECT

PIECE = 1 << 16
PASS = "pass"
RESET = "reset"  # the connection, in the middle of the request's body
SILENT = "silent"  # the request is read, and never answered


def answer(status: int, retry_after: int = 0) -> str:
    """A fault: this status instead of the server's answer."""
    return f"answer {status} {retry_after}"


def limit(size: int) -> str:
    """A fault: 413, at once, for a body of more than `size` bytes."""
    return f"limit {size}"


@dataclass(frozen=True)
class Request:
    """A request that the proxy read; `at` is on the monotonic clock, in seconds."""

    at: float
    method: str
    path: str
    fault: str
    agent: str


@dataclass
class Faults:
    """The proxy in a machine's network; it passes everything on until told otherwise."""

    machine: Machine
    port: int
    target: int
    plan: Path
    log: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def do(self, *faults: str, to: str = "") -> None:
        """From now on; `to` is searched for in `METHOD /path`."""
        fresh = self.plan.with_suffix(".fresh")
        fresh.write_text("\n".join([to, *faults]) + "\n")
        fresh.rename(self.plan)

    def up(self) -> None:
        command = ["nsenter", f"--net=/proc/{self.machine.init}/ns/net", sys.executable, "-m", "tests.harness.faults"]
        words = [*command, str(self.port), str(self.target), str(self.plan), str(self.log)]
        self._process = subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def down(self) -> None:
        """From now on connections are refused, and those that were open are gone."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def requests(self) -> list[Request]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        fields = [line.split("\t") for line in lines]
        return [Request(float(at), method, path, fault, agent) for at, method, path, fault, agent in fields]


@contextmanager
def before(machine: Machine, target: int, directory: Path, port: int = 7100) -> Iterator[Faults]:
    """The proxy before what listens on `target`; its files lie in `directory`."""
    faults = Faults(machine, port, target, directory / "plan", directory / "requests.log")
    faults.do(PASS)
    faults.up()
    try:
        yield faults
    finally:
        faults.down()


class Proxy:
    """One client's connection, and the one onward."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
        self.reader, self.writer = reader, writer
        self.target = target
        self.onward: asyncio.StreamWriter | None = None
        self.answers: asyncio.Task[None] | None = None

    async def serve(self, plan: "Plan") -> None:
        """Requests come one after the other, so that answers can be passed on without reading them."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self.reader.readuntil(b"\r\n\r\n")
                await self.handle(head, plan.next(head.decode("latin-1")))
        self.close()

    async def handle(self, head: bytes, fault: str) -> None:
        kind, *words = fault.split()
        text = head.decode("latin-1").lower()
        length = int(found[1]) if (found := re.search(r"content-length: (\d+)", text)) else 0
        chunked = "transfer-encoding: chunked" in text
        if kind == "limit" and (chunked or length > int(words[0])):
            await self.reply(413, 0)
            while await self.reader.read(PIECE):
                pass  # closed with bytes unread, the answer would be lost
            raise ConnectionError
        if kind == RESET and (chunked or length):
            await self.pass_on(head + await self.reader.read(max(1, length // 2)))
            raise ConnectionResetError
        forward = kind in {PASS, "limit", RESET}
        if forward:
            await self.pass_on(head)
        await (self.chunks(forward) if chunked else self.body(length, forward))
        if kind == SILENT:
            await self.reader.read()
        if kind == "answer":
            await self.reply(int(words[0]), int(words[1]), head.startswith(b"HEAD"))

    async def body(self, length: int, forward: bool) -> None:
        while length:
            piece = await self.reader.read(min(PIECE, length))
            if not piece:
                raise ConnectionError
            length -= len(piece)
            if forward:
                await self.pass_on(piece)

    async def chunks(self, forward: bool) -> None:
        size = 1
        while size:
            line = await self.reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            chunk = line + await self.reader.readexactly(size + 2)
            if forward:
                await self.pass_on(chunk)

    async def reply(self, status: int, retry_after: int, head: bool = False) -> None:
        said = "<Error><Code>ExpiredToken</Code></Error>" if status == 400 else "no"  # as S3 says it
        text = b"" if head else f"{said}\n".encode()
        more = f"Retry-After: {retry_after}\r\n" if retry_after else ""
        more += "Connection: close\r\n" if status == 413 else ""  # what follows is thrown away
        self.writer.write(f"HTTP/1.1 {status} Fault\r\n{more}Content-Length: {len(text)}\r\n\r\n".encode() + text)
        await self.writer.drain()

    async def pass_on(self, data: bytes) -> None:
        if self.onward is None:
            answers, self.onward = await asyncio.open_connection("127.0.0.1", self.target)
            self.answers = asyncio.create_task(self.relay(answers))
        self.onward.write(data)
        await self.onward.drain()

    async def relay(self, answers: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while piece := await answers.read(PIECE):
                self.writer.write(piece)
                await self.writer.drain()
        self.writer.close()

    def close(self) -> None:
        """With a reset, both ways: what is unread is lost, as when a router goes."""
        if self.answers:
            self.answers.cancel()
        for writer in filter(None, (self.writer, self.onward)):
            with suppress(OSError):
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()


@dataclass
class Plan:
    """The faults to come, and the record of those that were."""

    path: Path
    log: Path
    number: int = 0

    def next(self, head: str) -> str:
        method, path, _ = head.split(" ", 2)
        pattern, *faults = self.path.read_text().splitlines()
        fault = PASS
        if re.search(pattern, f"{method} {path}"):
            fault = faults[self.number % len(faults)]
            self.number += 1
        found = re.search(r"(?i)^user-agent: *([^/\r]*)", head, re.MULTILINE)
        with self.log.open("a") as log:
            log.write("\t".join([str(time.monotonic()), method, path, fault, found[1] if found else ""]) + "\n")
        return fault


async def main(words: Sequence[str]) -> None:
    plan = Plan(Path(words[2]), Path(words[3]))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Proxy(reader, writer, int(words[1])).serve(plan)

    async with await asyncio.start_server(connected, "127.0.0.1", int(words[0]), backlog=512) as server:
        print("ready", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
