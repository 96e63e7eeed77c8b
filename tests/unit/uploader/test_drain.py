"""Nothing that the store, the disk, the cache or an entry brings ends the drain, or holds back another path."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nix_autocache.nix import keys, path_answer
from nix_autocache.nix import store_client as store_module
from nix_autocache.nix.narinfo import Uploaded, fingerprint
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.nix.store_client import StoreClient
from nix_autocache.nix.worker_protocol import Source
from nix_autocache.uploader import drain as drain_module
from nix_autocache.uploader.graph import Graph
from nix_autocache.uploader.presence import Found
from nix_autocache.uploader.push import BinaryCache
from nix_autocache.uploader.pusher import Pusher
from tests.harness.draining import Draining, draining
from tests.harness.nix_daemon import DIE, HANG, answer, refusal
from tests.harness.waiting import wait_for

HASH = b"0" * 64
CONTENTS = [
    b"\xff\xfe\n.\n", b"\0\n.\n", b"../../etc\n.\n", b".\n", b"/nix/store/x\n.\nwhy", b"\n" * 5000 + b".\n", b"x" * 9,
]  # fmt: skip


@pytest.fixture
def drained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Draining]:
    monkeypatch.setattr(store_module, "_ANSWER", 0.5)
    with draining(tmp_path) as made:
        yield made


@pytest.mark.slow
def test_bad_paths_do_not_hold_back_the_rest(drained: Draining) -> None:
    """All at once, in one batch: each of the bad ones is reported, with what refers to it, and the rest is pushed."""
    fake = drained.fake
    base = fake.add("base")
    good = [fake.add(f"good-{number}", [base]) for number in range(5)]
    bad = {name: fake.add(name) for name in ("nonsense", "refused", "dies", "hangs", "changed", "pipe")}
    fake.says(bad["nonsense"], answer(b"\xff", 5))
    fake.says(bad["refused"], refusal(b"\xff\xfe"))
    fake.says(bad["dies"], DIE)
    fake.says(bad["hangs"], HANG)
    fake.says(bad["changed"], answer(HASH, 5))
    os.unlink(bad["pipe"])
    os.mkfifo(bad["pipe"])
    refers = fake.add("refers", [bad["nonsense"]])
    to_nothing = fake.add("to-nothing", [fake.path("never-there")])
    one, two = fake.path("one"), fake.path("two")
    fake.says(one, answer(HASH, 5, [two.encode()]))
    fake.says(two, answer(HASH, 5, [one.encode()]))
    drained.queued(*good[:2], *bad.values(), refers, to_nothing, one, *good[2:])
    assert drained.flush()
    assert drained.pushed() == {"base", *(f"good-{number}" for number in range(5))}
    failed = drained.failed()
    assert failed.keys() == {*bad, "refers", "to-nothing", "never-there", "one", "two"}
    assert "cannot be asked for it" in failed["dies"]
    assert "by way of others" in failed["one"]
    assert failed["refers"].startswith("refers to ")
    assert all(reason.isprintable() for reason in failed.values())
    assert drained.thread.is_alive()


def test_entries_of_any_content_do_not_hold_back_the_rest(drained: Draining) -> None:
    good = drained.fake.add("good")
    new, failed = drained.queue.new, drained.queue.failed
    for number, content in enumerate(CONTENTS):
        for directory in (new, failed):
            (directory / f"{number:032}-x.drv").write_bytes(content)
    for directory in (new, failed):
        os.mkfifo(directory / f"{'a' * 32}-pipe.drv")
        (directory / f"{'b' * 32}-directory.drv").mkdir()
        (directory / f"{'c' * 32}-link.drv").symlink_to("/etc/passwd")
    # The name is that of a path that is in work: the entry is bad, the path is not.
    (new / good.rpartition("/")[2]).write_bytes(b"garbage\n.\n")
    drained.queued(good)
    for directory in (new, failed):
        os.utime(directory / f"{6:032}-x.drv", (0, 0))  # torn, and not of now
    assert drained.flush()
    assert "good" in drained.pushed()
    assert drained.thread.is_alive()


def test_a_queue_that_cannot_be_read_for_a_while_is_waited_for(
    drained: Draining, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a flush does not say that all is well meanwhile."""
    monkeypatch.setattr(drain_module, "_RESPITE", 0.05)
    new, away = drained.queue.new, drained.queue.directory / "away"
    new.rename(away)
    new.write_text("no directory")
    wait_for(lambda: "Not a directory" in drained.drain.progress().trouble, "the trouble")
    assert not drained.flush(0.5)
    new.unlink()
    away.rename(new)
    drained.queued(drained.fake.add("later"))
    assert drained.flush()
    assert drained.pushed() == {"later"}
    assert drained.drain.progress().trouble == ""


class Panics:
    """A cache whose library breaks in ways that no protocol knows; each path once, but for good ones."""

    class Panic(BaseException):
        """As what obstore raises: no Exception."""

    def __init__(self, pusher: Pusher) -> None:
        assert isinstance(pusher, BinaryCache)
        self._pusher = pusher

    def __getattr__(self, name: str) -> object:
        return getattr(self._pusher, name)

    def ask(self, infos: object) -> dict[str, Found]:
        raise Panics.Panic("all at once")

    def find(self, info: PathInfo) -> Found:
        if info.path.name == "panics-when-asked":
            raise Panics.Panic("asked")
        return self._pusher.find(info)

    def upload(self, info: PathInfo, found: Found) -> Uploaded:
        if info.path.name == "panics":
            raise Panics.Panic("uploaded")
        if info.path.name == "recurses":
            raise RecursionError
        return self._pusher.upload(info, found)

    def publish(self, uploaded: Uploaded) -> None:
        if uploaded.path.name == "not-published":
            raise KeyError(uploaded.path)
        self._pusher.publish(uploaded)


def test_where_signatures_cannot_be_made_every_path_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ImportError("no libsodium")

    monkeypatch.setattr(keys, "load", broken)
    monkeypatch.setattr(keys.SecretKey, "sign", broken)
    with draining(tmp_path) as drained:
        drained.queued(drained.fake.add("one"), drained.fake.add("two"))
        assert drained.flush(10)
        assert drained.failed().keys() == {"one", "two"}


def test_whatever_a_cache_raises_is_the_paths_own_failure(tmp_path: Path) -> None:
    names = {"panics-when-asked", "panics", "recurses", "not-published"}
    with draining(tmp_path, wrapped=Panics) as drained:  # type: ignore[arg-type]
        drained.queued(*(drained.fake.add(name) for name in (*sorted(names), "good")))
        assert drained.flush()
        assert drained.pushed() == {"good"}
        assert drained.failed().keys() == names
        drained.queued(drained.fake.add("afterwards"))
        assert drained.flush()
        assert "afterwards" in drained.pushed()


def test_an_error_in_planning_that_nobody_foresaw_is_that_of_its_entry(
    drained: Draining, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No input is known that brings it about, so it is forced: a bug must not hold the others back."""
    known = path_answer.read_answer
    bad, good = drained.fake.add("bad"), drained.fake.add("good")

    def broken(source: Source, path: StorePath, store_dir: str) -> object:
        if path == bad:
            raise ZeroDivisionError
        return known(source, path, store_dir)

    monkeypatch.setattr(store_module, "read_answer", broken)
    drained.queued(bad, good)
    assert drained.flush()
    assert drained.pushed() == {"good"}
    assert [each.reason for each in drained.queue.set_aside(0.0)] == ["ZeroDivisionError: ZeroDivisionError"]


def test_an_error_in_admission_that_nobody_foresaw_is_reported(
    drained: Draining, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, where the work is already begun in part."""
    bad, good = drained.fake.add("bad"), drained.fake.add("good")

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(Graph, "link", broken)
        drained.queued(bad)
        assert drained.flush()
    assert drained.failed().keys() == {"bad"}
    drained.queued(good)
    assert drained.flush()
    assert drained.pushed() == {"bad", "good"}  # a flush tries again what failed


def test_a_moment_without_threads_ends_nothing(drained: Draining, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a job uses up the processes that its container may have: Python raises RuntimeError."""
    with monkeypatch.context() as patched:

        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patched.setattr(threading.Thread, "start", refuse)
        drained.queued(*(drained.fake.add(f"meanwhile-{number}") for number in range(40)))
        drained.flush(0.5)
    assert drained.flush()
    assert len(drained.pushed()) == 40
    assert drained.failed() == {}


def test_a_signature_in_the_name_of_an_upstream_does_not_keep_a_path_out_of_the_cache(tmp_path: Path) -> None:
    """Any user can have the daemon add one; many of them do not hide the one that is true."""
    theirs = keys.generate("theirs-1")
    claim = b"theirs-1:" + b"A" * 86 + b"=="
    with draining(tmp_path, upstreams=(theirs.public,)) as drained:
        fake = drained.fake
        claimed, signed = fake.add("claimed", signatures=[claim]), fake.add("signed")
        with StoreClient(fake.nix) as store:
            true = theirs.sign(fingerprint(store.path_infos([StorePath(signed)])[StorePath(signed)]))
        fake.says(signed, fake.truth(signed, signatures=[claim] * 200 + [true.encode()]))
        drained.queued(claimed, signed)
        assert drained.flush()
        assert drained.pushed() == {"claimed"}
        assert {each.what for each in drained.queue.outcomes.recorded()} == {"pushed", "upstream"}
