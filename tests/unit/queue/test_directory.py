"""The queue's directory: what is an entry, what is not, and that nothing is lost."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from nix_autocache.nix.store import StorePath
from nix_autocache.queue.directory import Queue
from nix_autocache.queue.entry import MAX_ENTRY, TORN_AFTER, Entry

HASH = "0123456789abcdfghijklmnpqrsvwxyz"
NAME = f"{HASH}-thing.drv"
OUT = f"/nix/store/{HASH}-thing"


def test_an_entry_without_its_last_line_is_still_being_written(queue: Queue) -> None:
    (queue.new / NAME).write_text(f"{OUT}\n")
    assert queue.take() == []
    assert list(queue.names()) == [NAME]


def test_an_entry_that_stays_torn_is_asked_of_the_store(queue: Queue) -> None:
    (queue.new / NAME).write_text("/nix/sto")
    long_ago = time.time() - TORN_AFTER - 1
    os.utime(queue.new / NAME, (long_ago, long_ago))
    assert queue.take() == [Entry(NAME, ())]


def test_a_torn_entry_of_the_future_is_not_waited_for(queue: Queue) -> None:
    (queue.new / NAME).write_text("/nix/sto")
    os.utime(queue.new / NAME, (time.time() + 86400, time.time() + 86400))
    assert queue.take() == [Entry(NAME, ())]


def test_many_paths_are_few_entries_and_no_build_vouches_for_them(queue: Queue) -> None:
    names = ["a.drv", *(f"{number}-out" for number in range(30)), "b.drv", "c.drv"]
    paths = [StorePath(f"/nix/store/{NAME[:32]}-{name}") for name in names]
    queue.add_paths(paths, 10)
    entries = queue.take()
    assert len(entries) == 4
    assert sorted(path for entry in entries for path in entry.outputs) == sorted(paths)
    assert not [entry for entry in entries if entry.name.endswith(".drv")]


def test_of_paths_that_are_given_twice_none_is_lost(queue: Queue) -> None:
    paths = [StorePath(f"/nix/store/{NAME[:32]}-{number}") for number in range(5)]
    queue.add_paths([*paths, paths[0]], 5)
    queue.add_paths(paths[:2], 5)
    assert {path for entry in queue.take() for path in entry.outputs} == set(paths)


def test_an_entry_that_may_not_be_read_is_asked_of_the_store() -> None:
    with TemporaryDirectory() as directory:  # everybody can get there, not so into pytest's
        Path(directory).chmod(0o755)
        queue = Queue(Path(directory, "queue"))
        queue.create()
        queue.add(NAME, [OUT])
        long_ago = time.time() - TORN_AFTER - 1
        os.utime(queue.new / NAME, (long_ago, long_ago))
        (queue.new / NAME).chmod(0)
        with as_nobody():
            assert queue.take() == [Entry(NAME, ())]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, who may read everything."""
    mine = os.geteuid()
    if mine:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_what_the_hook_did_not_write_is_no_entry(queue: Queue) -> None:
    (queue.new / "README").write_text(".\n")
    (queue.new / f"{HASH}-link.drv").symlink_to("/etc/passwd")
    (queue.new / f"{HASH}-directory.drv").mkdir()
    os.mkfifo(queue.new / f"{HASH}-fifo.drv")
    assert queue.take() == []
    assert list(queue.names()) == []


def test_an_endless_entry_is_read_to_its_limit_only(queue: Queue) -> None:
    with open(queue.new / NAME, "w") as file:
        file.truncate(MAX_ENTRY * 64)
    assert queue.take() == []


def test_what_failed_is_kept_with_its_reason_and_tried_again(queue: Queue) -> None:
    queue.add(NAME, [OUT])
    (entry,) = queue.take()
    queue.fail(entry, "the cache is on fire")
    assert queue.take() == []
    assert "the cache is on fire" in (queue.failed / NAME).read_text()
    assert queue.retry_failed() == 1
    assert queue.take() == [entry]


def test_a_done_entry_lets_its_outputs_be_collected(queue: Queue) -> None:
    queue.add(NAME, [OUT])
    queue.protect([OUT])
    assert queue.roots is not None
    assert [path.name for path in queue.roots.iterdir()] == [f"{HASH}-thing"]
    (entry,) = queue.take()
    queue.done(entry, entry.outputs)
    assert not list(queue.roots.iterdir())
    assert not list(queue.new.iterdir())


def test_two_cannot_drain_one_queue(queue: Queue) -> None:
    with queue.lock() as first, queue.lock() as second:
        assert first
        assert not second
    with queue.lock() as again:
        assert again


def test_what_failed_is_as_old_as_its_build_and_given_up_one_day(queue: Queue) -> None:
    queue.add(NAME, [OUT])
    os.utime(queue.new / NAME, (1000, 1000))
    queue.protect([OUT])
    for _ in range(2):
        (entry,) = queue.take()
        queue.fail(entry, "no\nsuch bucket")
        queue.give_up(999)
        assert queue.retry_failed() == 1
    (entry,) = queue.take()
    queue.fail(entry, "no such bucket")
    queue.give_up(1001)
    assert queue.failures() == 0
    assert queue.roots is not None
    assert list(queue.roots.iterdir()) == []
