"""One drain lives through all examples: entries and answers of any content, among paths that are to be pushed."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.nix import store_client as store_module
from tests.harness.draining import Draining, draining
from tests.harness.nix_daemon import DIE
from tests.harness.soak import seeds

COUNT = itertools.count()
# What to put over a true answer, and where; whole answers; or nothing, for a path that refers to others.
CHANGE = st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=12))
BAD = st.one_of(CHANGE, st.just(DIE), st.binary(max_size=30))
LINE = st.one_of(st.binary(max_size=30), st.sampled_from([b".", b"", b"/nix/store/../x", b"\0", b"\xff"]))
ENTRY = st.lists(LINE, max_size=4).map(lambda lines: b"\n".join([*lines, b".", b""]))


@pytest.fixture(scope="module")
def drained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Draining]:
    with pytest.MonkeyPatch.context() as patched, draining(tmp_path_factory.mktemp("fuzz")) as made:
        patched.setattr(store_module, "_ANSWER", 0.2)
        yield made


def spoiled(truth: bytes, bad: object) -> bytes:
    if not isinstance(bad, tuple):
        assert isinstance(bad, bytes)
        return bad
    at, fresh = int(bad[0]), bytes(bad[1])
    return truth[:at] + fresh + truth[at + len(fresh) :]


@pytest.mark.soak
@settings(max_examples=seeds(150))
@given(st.lists(BAD, max_size=3), st.lists(ENTRY, max_size=3), st.booleans())
@pytest.mark.slow
def test_what_is_good_is_pushed_whatever_else_is_there(
    drained: Draining, bad: list[object], entries: list[bytes], failed: bool
) -> None:
    fake, number = drained.fake, next(COUNT)
    base = fake.add(f"base-{number}")
    good = [fake.add(f"good-{number}-{each}", [base]) for each in range(2)]
    for each, answered in enumerate(bad):
        path = fake.add(f"bad-{number}-{each}", [base])
        fake.says(path, spoiled(fake.truth(path, [base]), answered))
        drained.queued(path, fake.add(f"refers-{number}-{each}", [path, base]))
    for each, content in enumerate(entries):
        directory = drained.queue.failed if failed else drained.queue.new
        Path(directory, f"{number:031}{each}-x.drv").write_bytes(content)
    drained.queued(*good)
    assert drained.flush()
    assert {f"good-{number}-0", f"good-{number}-1", f"base-{number}"} <= drained.pushed()
    assert drained.thread.is_alive()
    for file in drained.cache.glob("*.narinfo"):  # closed: what refers to a bad path is only there if that path is
        name, text = file.stem, file.read_text()
        references = text.partition("References: ")[2].split("\n")[0].split()
        assert all((drained.cache / f"{each[:32]}.narinfo").exists() for each in references), name
        file.unlink() if f"good-{number}" in text else None
    for directory in (drained.queue.new, drained.queue.failed):
        for left in directory.iterdir():
            left.unlink()
