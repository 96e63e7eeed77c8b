"""Real servers that machines upload to: S3 in two makes, Azure's blobs, and plain HTTP with GET, HEAD and PUT.

A server runs on the host's files but in a machine's network: what listens on 127.0.0.1 is reached from that
machine, and from those that share its network, only. It is not one of the machine's processes, so that a job
there can neither see nor end it, and a test reads what was stored from the server's `directory`.
"""

import base64
import hmac
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from tests.harness import google, npm
from tests.harness.certificates import Certificate
from tests.harness.machine import PATH, Machine
from tests.harness.tools import node, program
from tests.harness.waiting import wait_for

ACCESS_KEY = "HARNESSACCESSKEY0001"  # rclone refuses a shorter one
SECRET_KEY = "harness/secret/key/of/forty/characters/0"
REGION = "us-east-1"
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Server:
    """A server that has begun to start; `wait` before the first request."""

    machine: Machine
    port: int
    directory: Path
    """The stored files; for S3 a directory for each bucket."""
    popen: subprocess.Popen[bytes]
    log: Path
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Without a slash at the end; the same in every machine of the network."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def wait(self, seconds: float = 30.0) -> None:
        """Returns when the server answers anything but that it is not ready."""
        wait_for(lambda: self._answers() or self.popen.poll() is not None, f"an answer from {self.url}", seconds)
        assert self.popen.poll() is None, f"{self.popen.args!r} ended:\n{self.log.read_text()}"

    def stop(self) -> None:
        """Ends it as a crash would; the address is free afterwards."""
        self.popen.kill()
        self.popen.wait()

    def processor_time(self) -> float:
        """Seconds that it has used of all processors; source: proc_pid_stat(5)."""
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _answers(self) -> bool:
        with self.machine.network():
            connection = self._connection()
            try:
                connection.request("GET", "/")
                return connection.getresponse().status < 500
            except (OSError, http.client.HTTPException):
                return False
            finally:
                connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self.scheme == "http":
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        anybody = ssl._create_unverified_context()
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=anybody)


ServeS3 = Callable[[Machine, Path], AbstractContextManager[Server]]
"""Starts a server of either make."""


def s3_env() -> dict[str, str]:
    """The credentials of both S3 servers, as the AWS tools read them."""
    return {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": REGION}


@contextmanager
def rclone_s3(machine: Machine, directory: Path, buckets: Sequence[str] = (), port: int = 9000) -> Iterator[Server]:
    """S3 by rclone: up in 0.2 s; a directory below `directory` is a bucket."""
    for bucket in buckets:
        (directory / bucket).mkdir(parents=True, exist_ok=True)
    with _rclone_s3(machine, directory, [f"--auth-key={ACCESS_KEY},{SECRET_KEY}"], port) as server:
        yield server


@contextmanager
def public_s3(machine: Machine, directory: Path, buckets: Sequence[str], port: int = 9000) -> Iterator[Server]:
    """S3 that anybody may read and write without a signature, by rclone."""
    for bucket in buckets:
        (directory / bucket).mkdir(parents=True, exist_ok=True)
    with _rclone_s3(machine, directory, [], port) as server:
        yield server


@contextmanager
def google_xml(machine: Machine, directory: Path, bucket: str, port: int = 9001) -> Iterator[Server]:
    """The XML API of Google's cloud storage, which is S3's without a signature: an S3 server that asks for none."""
    with public_s3(machine, directory, [bucket], port) as server:
        yield server


def google_env(server: Server) -> dict[str, str]:
    return google.env(server.port)


@contextmanager
def azurite(machine: Machine, directory: Path, port: int = 10100) -> Iterator[Server]:
    """Azure's blob storage by its emulator; `make_container` before the first use."""
    with serving(machine, _azurite(directory, port), port, directory) as server:
        yield server


@contextmanager
def azurite_of_host(directory: Path) -> Iterator[int]:
    """The port of one without a machine, which answers."""
    (port,) = _free_ports(1)
    with _of_host(_azurite(directory, port), port, directory):
        yield port


@contextmanager
def rclone_s3_of_host(directory: Path) -> Iterator[int]:
    """The port of one without a machine."""
    (port,) = _free_ports(1)
    with _of_host(_rclone(directory, [f"--auth-key={ACCESS_KEY},{SECRET_KEY}"], port), port, directory):
        yield port


@contextmanager
def seaweedfs_s3_of_host(directory: Path) -> Iterator[int]:
    """The port of one without a machine."""
    parts = [f"-{part}.port{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc")]
    ports = _free_ports(len(parts))
    port = ports[parts.index("-s3.port")]
    options = ["-filer", "-s3", f"-s3.config={_identities(directory)}"]
    options += [f"{part}={number}" for part, number in zip(parts, ports, strict=True)]
    with _of_host(_weed(directory, options), port, directory):
        wait_for(lambda: _status(port) < 500, "SeaweedFS", 30)
        yield port


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in free]


@contextmanager
def _of_host(command: Sequence[str], port: int, directory: Path) -> Iterator[None]:
    """Runs it for as long as the block, once it listens."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory.parent / f"{directory.name}.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, cwd=directory) as popen:
        try:
            wait_for(lambda: _listens(port) or popen.poll() is not None, command[0], 30)
            assert popen.poll() is None, log.read_text()
            yield
        finally:
            popen.kill()


def _status(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 599
    finally:
        connection.close()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


def _azurite(directory: Path, port: int) -> list[str]:
    program = npm.installed("azurite") / "azurite/dist/src/blob/main.js"
    options = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    return [str(node() / "node"), str(program), f"--blobPort={port}", f"--location={directory}", *options]


def azure_env() -> dict[str, str]:
    """The account that Azurite has from the start; its key is public."""
    return {"AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY}


def make_container(server: Server, name: str) -> None:
    with server.machine.network():
        create_container(server.port, name)


def create_container(port: int, name: str) -> None:
    """In the Azurite at this port. Source of the signature: "Authorize with Shared Key" in Azure's REST reference."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2023-11-03"}
    signed = "PUT" + "\n" * 12 + "".join(f"{key}:{value}\n" for key, value in headers.items())
    signed += f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{name}\nrestype:container"
    digest = hmac.digest(base64.b64decode(AZURE_KEY), signed.encode(), "sha256")
    headers["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("PUT", f"/{AZURE_ACCOUNT}/{name}?restype=container", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    connection.close()


@contextmanager
def rclone_http(
    machine: Machine,
    directory: Path,
    folders: Sequence[str] = ("nar",),
    port: int = 9080,
    tls: Certificate | None = None,
) -> Iterator[Server]:
    """Plain HTTP with PUT, as a WebDAV server does it: only into `folders`, which are there from the start."""
    for folder in folders:
        (directory / folder).mkdir(parents=True, exist_ok=True)
    # Of each file it would make all hashes that it knows, for nobody, with most of its processor time.
    options = [f"--addr=127.0.0.1:{port}", "--ignore-checksum"]
    command = [str(program("rclone")), "serve", "webdav", *options, str(directory)]
    if tls:
        for option, path in {"--cert": tls.certificate, "--key": tls.key}.items():
            copy = directory.with_name(Path(path).name)
            copy.write_text(machine.read(path))
            command.append(f"{option}={copy}")
    with serving(machine, command, port, directory, "https" if tls else "http") as server:
        yield server


@contextmanager
def seaweedfs_http(machine: Machine, directory: Path, port: int = 8888) -> Iterator[Server]:
    """Plain HTTP with PUT to any path; what is stored lies in volumes that only the server reads."""
    options = ["-filer", f"-filer.port={port}"]
    with serving(machine, _weed(directory, options), port, directory) as server:
        yield server


@contextmanager
def seaweedfs_s3(machine: Machine, directory: Path, port: int = 8333) -> Iterator[Server]:
    """S3 by SeaweedFS: slower to come up, nearer to large installations; makes a bucket on demand."""
    options = ["-filer", "-s3", f"-s3.port={port}", f"-s3.config={_identities(directory)}"]
    with serving(machine, _weed(directory, options), port, directory) as server:
        yield server


@contextmanager
def odd(machine: Machine, directory: Path, *modes: str, port: int = 9180) -> Iterator[Server]:
    """A server with the oddities that real ones do not show; for its modes see `tests.harness.odd`."""
    command = [sys.executable, str(Path(__file__).with_name("odd.py")), str(port), str(directory), *modes]
    with serving(machine, command, port, directory) as server:
        server.wait()
        yield server


@contextmanager
def _rclone_s3(machine: Machine, directory: Path, options: Sequence[str], port: int) -> Iterator[Server]:
    with serving(machine, _rclone(directory, options, port), port, directory) as server:
        yield server


def _rclone(directory: Path, options: Sequence[str], port: int) -> list[str]:
    return [str(program("rclone")), "serve", "s3", f"--addr=127.0.0.1:{port}", *options, str(directory)]


def _identities(directory: Path) -> Path:
    """SeaweedFS's file of users."""
    identity = {
        "name": "harness",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    return config


def _weed(directory: Path, options: Sequence[str]) -> list[str]:
    small = ["-master.volumeSizeLimitMB=64", "-volume.max=20"]
    return [
        str(program("weed")),
        f"-logdir={directory}",
        "server",
        "-ip=127.0.0.1",
        f"-dir={directory}",
        *small,
        *options,
    ]


@contextmanager
def serving(
    machine: Machine, command: Sequence[str], port: int, directory: Path, scheme: str = "http"
) -> Iterator[Server]:
    directory.mkdir(parents=True, exist_ok=True)
    log = directory.parent / f"{directory.name}.log"
    entering = [
        "nsenter",
        f"--net=/proc/{machine.init}/ns/net",
        "setpriv",
        "--pdeathsig=KILL",
        "--",
        *command,
    ]
    env = {"PATH": f"{PATH}:{os.defpath}", "HOME": str(directory.parent)}
    with log.open("wb") as output:
        popen = subprocess.Popen(
            entering, env=env, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    server = Server(machine, port, directory, popen, log, scheme)
    try:
        yield server
    finally:
        server.stop()
