"""The proxy of a company's network, which asks for a name and a password: `python -m tests.harness.forward PORT LOG`.

CONNECT opens a tunnel; any other request is passed on, and with it all that follows on its connection. It alone knows
where hosts are: all of them on this machine. LOG gets a line for each connection: the method, and what was asked for.
"""

import asyncio
import base64
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.harness.machine import Machine
from tests.harness.tools import PROJECT

USER = "me:s3cret"
_GRANT = b"Basic " + base64.b64encode(USER.encode())


@dataclass(frozen=True)
class Forward:
    """The proxy in a machine's network."""

    port: int
    log: Path

    def env(self) -> dict[str, str]:
        url = f"http://{USER}@127.0.0.1:{self.port}"
        return {"http_proxy": url, "https_proxy": url}

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()


@contextmanager
def proxy(machine: Machine, directory: Path, port: int = 3128) -> Iterator[Forward]:
    log = directory / "forward.log"
    log.touch()
    command = ["nsenter", f"--net=/proc/{machine.init}/ns/net", sys.executable, "-m", __name__, str(port), str(log)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield Forward(port, log)
        process.kill()


async def serve(port: int, log: Path) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await converse(reader, writer, log)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: Path) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    method, target, _ = head.split(b"\r\n")[0].decode().split()
    if _GRANT not in head:
        writer.write(b"HTTP/1.1 407 Who Are You\r\nContent-Length: 0\r\n\r\n")
        return
    with log.open("a") as file:
        file.write(f"{method} {target}\n")
    port = urlsplit(target if method != "CONNECT" else f"//{target}").port
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    if method == "CONNECT":
        writer.write(b"HTTP/1.1 200 Go On\r\n\r\n")
    else:
        far_writer.write(head)
    await asyncio.gather(relay(reader, far_writer), relay(far_reader, writer))


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
