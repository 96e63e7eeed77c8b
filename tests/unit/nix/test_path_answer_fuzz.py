"""Answers of the store, wrong in any byte: each is an answer, an error of the path, or the end of the conversation."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.errors import StoreError
from nix_autocache.nix.narinfo import NarFile, parse, render
from nix_autocache.nix.path_answer import read_answer
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.nix.worker_protocol import BrokenConversation
from tests.harness.nix_daemon import answer, refusal
from tests.harness.soak import seeds

PATH = StorePath("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x")
BYTES = st.one_of(st.binary(max_size=40), st.sampled_from([PATH.encode(), b"0" * 64, b"a-1:" + b"A" * 86 + b"=="]))
NUMBERS = st.one_of(st.integers(0, 3), st.sampled_from([1 << 31, 1 << 32, (1 << 63) - 1, (1 << 64) - 1]))
ANSWERS = st.one_of(
    st.builds(
        answer, BYTES, NUMBERS, st.lists(BYTES, max_size=3), st.lists(BYTES, max_size=3),
        deriver=BYTES, ca=BYTES, registered=NUMBERS, ultimate=st.integers(0, 1),
    ),
    st.builds(refusal, BYTES),
    st.binary(max_size=200),
)  # fmt: skip
CHANGES = st.lists(st.tuples(st.integers(0, 500), st.binary(max_size=9)), max_size=2)


class Source:
    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise BrokenConversation("the end")
        return data


@pytest.mark.soak
@settings(max_examples=seeds(5000))
@given(ANSWERS, CHANGES, st.integers(0, 600))
@pytest.mark.slow
def test_any_answer_is_read(data: bytes, changes: list[tuple[int, bytes]], end: int) -> None:
    for at, fresh in changes:
        data = data[:at] + fresh + data[at + len(fresh) :]
    try:
        found = read_answer(Source(data[:end]), PATH, "/nix/store")
    except BrokenConversation:
        return
    if not isinstance(found, PathInfo):
        assert found is None or isinstance(found, StoreError)
        return
    # What was taken fits into a narinfo: a line of its own for each thing, and nothing that adds one.
    text = render(found, NarFile("nar/x", "none", "0", 1), None)
    assert len(parse(text).get("Sig", [])) == len(found.signatures)
    assert text.isascii()
    assert text.count("\n") == 8 + bool(found.deriver) + len(found.signatures) + bool(found.ca)
