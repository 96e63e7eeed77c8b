"""What client and uploader say is read as it was written, and all else is nobody's."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nix_autocache.uploader.process.protocol import (
    Flush,
    Reply,
    Status,
    Stop,
    answer_line,
    parse_answer,
    parse_request,
    request_line,
)
from nix_autocache.uploader.progress import Progress

COUNTS = st.dictionaries(st.text(max_size=5), st.integers(0, 2**40), max_size=3)
PROGRESS = st.builds(
    Progress,
    counts=COUNTS,
    pushed_bytes=st.integers(0),
    waiting=st.integers(0),
    unsealed=st.integers(0),
    trouble=st.text(),
    unrecorded=COUNTS,
)


@pytest.mark.parametrize("request_", [Status(), Stop(), Flush(0.0), Flush(1.5)])
def test_a_request_is_read_as_it_was_sent(request_: Status | Stop | Flush) -> None:
    assert parse_request(request_line(request_)) == request_


@pytest.mark.parametrize(("seconds", "read"), [("-1", 0.0), ("1e999", 86400.0), ("1" + "0" * 400, 86400.0)])
def test_a_flush_lasts_from_no_time_to_a_day(seconds: str, read: float) -> None:
    line = f'{{"do": "flush", "seconds": {seconds}}}'.encode()
    assert parse_request(line) == Flush(read)


@pytest.mark.parametrize("line", [b"", b"\xff", b"[]", b"1", b"status", b"[" * 100_000])
def test_a_line_that_is_no_object_is_no_request(line: bytes) -> None:
    assert parse_request(line) is None


def test_progress_that_was_counted_is_read_as_it_was_sent() -> None:
    progress = Progress(counts=Counter(["pushed"]), pushed_bytes=1, waiting=0, unrecorded=Counter(["pushed", "failed"]))
    assert parse_answer(answer_line(progress)) == progress


@given(PROGRESS)
def test_progress_is_read_as_it_was_sent(progress: Progress) -> None:
    assert parse_answer(answer_line(progress)) == progress


@given(st.builds(Reply, progress=PROGRESS, drained=st.booleans(), error=st.text(), exit_code=st.integers(0, 4)))
def test_a_reply_is_read_as_it_was_sent(reply: Reply) -> None:
    assert parse_answer(answer_line(reply)) == reply


@pytest.mark.parametrize("field", ["counts", "waiting", "unsealed", "error", "exit_code", "public_key", "dry"])
def test_a_reply_without_a_field_is_nobodys(field: str) -> None:
    fields = json.loads(answer_line(Reply(progress=Progress(counts={}, pushed_bytes=0, waiting=0))))
    del fields[field]
    with pytest.raises(ValueError, match="no uploader"):
        parse_answer(json.dumps(fields).encode())
