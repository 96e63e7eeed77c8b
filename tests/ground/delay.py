"""A TCP proxy that is `delay` seconds away: what a distant server costs, without a distant server.

Run as a program inside a machine's network: `python -m tests.ground.delay PORT TARGET_PORT ROUND_TRIP`, the last in
seconds. A new connection costs a round trip, as its handshake would; bytes arrive half a round trip late, each way.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.ground.machine import Machine
from tests.ground.tools import PROJECT

PIECE = 1 << 18


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Pass everything on, each piece `delay` seconds after it came, in order, without holding up the next."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)

    async def send() -> None:
        while True:
            due, piece = await pieces.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    sending = asyncio.create_task(send())
    with suppress(ConnectionError):
        while piece := await reader.read(PIECE):
            await pieces.put((loop.time() + delay, piece))
    await pieces.put((loop.time() + delay, b""))
    with suppress(ConnectionError):
        await sending


async def serve(port: int, target: int, round_trip: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(round_trip)
        onward_reader, onward = await asyncio.open_connection("127.0.0.1", target)
        half = round_trip / 2
        await asyncio.gather(relay(reader, onward, half), relay(onward_reader, writer, half))
        onward.close()
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", port, backlog=512) as server:
        print("ready", flush=True)
        await server.serve_forever()


@contextmanager
def delayed(machine: Machine, target: int, round_trip: float, port: int = 7000) -> Iterator[int]:
    """The proxy in a machine's network, in front of `target`; the port to use instead."""
    command = ["nsenter", f"--net=/proc/{machine.init}/ns/net", sys.executable, "-m", "tests.ground.delay"]
    words = [*command, str(port), str(target), str(round_trip)]
    with subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield port
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
