"""Whatever lies in the queue's directory, the queue is read, tried again and given up without an error."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.queue.directory import Queue
from tests.harness.soak import seeds

HASH = "0123456789abcdfghijklmnpqrsvwxyz"
NAMES = st.one_of(
    st.just(f"{HASH}-x.drv"), st.text("ab.-\n\x1b/é", min_size=1, max_size=8).filter(lambda n: "/" not in n)
)
LINES = st.one_of(st.binary(max_size=60), st.just(b"/nix/store/" + HASH.encode() + b"-x"), st.just(b"."), st.just(b""))
FILES = st.dictionaries(
    NAMES.filter(lambda name: name not in {".", ".."}), st.lists(LINES, max_size=5).map(b"\n".join), max_size=4
)


@pytest.mark.soak
@settings(max_examples=seeds(1000))
@given(FILES, FILES, st.binary(max_size=200))
@pytest.mark.slow
def test_no_content_of_an_entry_is_an_error(new: dict[str, bytes], failed: dict[str, bytes], outcomes: bytes) -> None:
    with TemporaryDirectory() as name:
        queue = Queue(Path(name), Path(name, "roots"))
        queue.create()
        for directory, files in ((queue.new, new), (queue.failed, failed)):
            for file, content in files.items():
                (directory / file).write_bytes(content)
        queue.outcomes.path.write_bytes(outcomes)
        list(queue.outcomes.recorded())
        list(queue.set_aside(0.0))
        for entry in queue.take():
            queue.fail(entry, "for a reason")
        queue.retry_failed()
        queue.give_up(float("inf"))
