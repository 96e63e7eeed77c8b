"""The client, and answers of anybody in the uploader's place."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.uploader.process.client import UploaderClient
from nix_autocache.uploader.process.protocol import Reply
from tests.harness.soak import seeds
from tests.harness.strategies import JSON

TRUE = {
    "counts": {"pushed": 1}, "pushed_bytes": 1, "waiting": 0, "unsealed": 0, "trouble": "", "unrecorded": {},
    "dry": True, "error": "", "exit_code": 0, "public_key": "", "done": True,
}  # fmt: skip
ANSWERS = st.one_of(
    st.binary(max_size=60),
    st.dictionaries(st.sampled_from(list(TRUE)), JSON, max_size=2).map(lambda new: {**TRUE, **new}),
)


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[UploaderClient, list[bytes]]]:
    """A socket in the uploader's place that answers what the list says last."""
    uploader, said = UploaderClient(tmp_path_factory.mktemp("impostor")), [b""]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(uploader.socket))
        server.listen()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.recv(4096)
                        connection.sendall(said[-1])

        threading.Thread(target=serve, daemon=True).start()
        yield uploader, said
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.soak
@settings(max_examples=seeds(300))
@given(st.lists(ANSWERS, max_size=3))
def test_any_answer_is_an_uploaders_or_none(
    impostor: tuple[UploaderClient, list[bytes]], answers: list[bytes | dict[str, object]]
) -> None:
    uploader, said = impostor
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in answers]
    said.append(b"\n".join([*lines, b""]))
    found = uploader.status(lambda progress: print(sum(progress.counts.values()), progress.trouble))
    assert found is None or isinstance(found, Reply)
    if found:
        assert sum(found.progress.counts.values()) + found.progress.waiting + found.exit_code is not None
        assert found.error + found.public_key + found.progress.trouble is not None
