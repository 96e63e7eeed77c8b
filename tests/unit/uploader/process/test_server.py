"""The uploader's process lives through any request, entry and answer."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.errors import InputError
from nix_autocache.nix import keys
from nix_autocache.nix.key_source import KeySource
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.queue.directory import Queue
from nix_autocache.system.dataclass import replace
from nix_autocache.uploader.access import CacheAccess
from nix_autocache.uploader.process import protocol
from nix_autocache.uploader.process.client import UploaderClient
from nix_autocache.uploader.process.protocol import Reply
from nix_autocache.uploader.process.server import ControlServer, listen
from nix_autocache.uploader.process.spec import ProcessSpec
from nix_autocache.uploader.spec import UploadSpec
from tests.harness.nix_daemon import DIE, FakeNix, answer, refusal
from tests.harness.soak import seeds
from tests.harness.strategies import JSON
from tests.harness.waiting import wait_for

HASH = b"0" * 64
REQUESTS = st.one_of(
    st.binary(max_size=60),
    st.fixed_dictionaries({"do": st.one_of(JSON, st.sampled_from(["status", "flush"]))}, optional={"seconds": JSON}),
    st.sampled_from([b"[" * 4000 + b"\n", b'{"do": "flush", "seconds": 1e999}\n', b'{"do": "flush", "seconds": -1}\n']),
)


def job(directory: Path, fake: FakeNix) -> UploadSpec:
    queue = Queue(directory / "queue")
    queue.create()
    return UploadSpec(
        access=CacheAccess(url=parse_cache_url(f"file://{directory}/cache"), nix_bin=fake.nix.bin, environ={}),
        queue=queue.directory,
        key=KeySource.of_key(keys.generate("test-1")), compression="none", compression_level=0,
        dry_run=False, began=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> FakeNix:
    made = FakeNix(tmp_path_factory.mktemp("nix"), "/nix/store")
    made.create()
    return made


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, fake: FakeNix) -> Iterator[UploaderClient]:
    directory = tmp_path_factory.mktemp("uploader")
    uploader = UploaderClient(directory)
    lasting = replace(job(directory, fake), maintenance_interval=0.2)
    started = uploader.start(ProcessSpec(upload=lasting, reading=None))
    uploader.wait_ready(started)
    yield uploader
    assert started.lives()
    assert uploader.stop()
    assert "Traceback" not in uploader.log.read_text()


@pytest.mark.soak
@settings(max_examples=seeds(300))
@given(REQUESTS, st.booleans())
def test_any_request_is_survived(running: UploaderClient, request_: bytes | dict[str, object], patient: bool) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(0.05)
        client.connect(str(running.socket))
        line = request_ if isinstance(request_, bytes) else json.dumps(request_).encode() + b"\n"
        with suppress(OSError):
            client.sendall(line)
            if patient:
                client.recv(100)
    assert running.status()


@pytest.mark.parametrize(
    "line", ['{"do": "job"}', '{"do": null}', "{}", '{"do": "flush"}', '{"do": "flush", "seconds": NaN}']
)
def test_a_request_that_it_does_not_know_is_answered_with_an_error(running: UploaderClient, line: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(running.socket))
        client.sendall(f"{line}\n".encode())
        (answered,) = client.makefile("rb").readlines()
    reply = protocol.parse_answer(answered)
    assert isinstance(reply, Reply)
    assert "status, flush and stop" in reply.error
    assert reply.exit_code == InputError.exit_code


def test_bad_entries_and_answers_are_outcomes_like_others(running: UploaderClient, fake: FakeNix) -> None:
    queue = Queue(running.directory / "queue")
    said = {
        "nonsense": answer(b"\xff", 5), "refused": refusal(b"\xff"), "dies": DIE, "junk": b"\xff" * 9,
        "signed": answer(HASH, 5, [], [b"evil-1:\xff\xfe"]),
    }  # fmt: skip
    for name, answered in said.items():
        path = fake.path(name)
        fake.says(path, answered)
        queue.add(f"{path.rpartition('/')[2]}.drv", [path])
        (queue.new / f"{path.rpartition('/')[2][:32]}-raw.drv").write_bytes(b"\xff\0\n.\n")

    def outcomes() -> dict[str, str]:
        return {each.path.rpartition("-")[2]: each.reason for each in queue.outcomes.recorded()}

    wait_for(lambda: outcomes().keys() >= said.keys(), "every path to have an outcome", 30)
    assert "cannot be read" in outcomes()["signed"]


def test_what_cannot_be_opened_for_a_reason_that_nobody_foresaw_is_said(tmp_path: Path, fake: FakeNix) -> None:
    """No path has a NUL; the socket answers, and is gone when it is stopped."""
    uploader = UploaderClient(tmp_path)
    broken = replace(job(tmp_path, fake), elsewhere=(Path("/\0"),))
    started = uploader.start(ProcessSpec(upload=broken, reading=None))
    answered = uploader.wait_ready(started)
    assert "embedded null" in answered.error
    assert uploader.stop()
    wait_for(lambda: not started.lives(), "its end")
    assert not uploader.socket.exists()


def refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_client_is_answered_later_where_no_thread_can_be_started_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    done = b'{"done": true}\n'
    server = ControlServer(listen(path, open_to_all=True), {os.geteuid()}, lambda client, _, __: client.sendall(done))
    threading.Thread(target=server.serve, daemon=True).start()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            client.sendall(b'{"do": "status"}\n')
            wait_for(lambda: bool(server._unanswered), "the request to be read")
        assert client.recv(100) == done
