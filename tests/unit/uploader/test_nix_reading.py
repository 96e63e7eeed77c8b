"""What the read proxy reports: it saves questions for a minute, and becomes the index of the next run."""

import json
import os
import time
from contextlib import suppress

import pytest

from nix_autocache.caches.run_index import RunIndex
from nix_autocache.nix.store import StorePath
from nix_autocache.system.dataclass import replace
from nix_autocache.uploader import nix_reading
from nix_autocache.uploader.compress import Codec
from nix_autocache.uploader.nix_reading import NixReading
from nix_autocache.uploader.presence import ABSENT
from nix_autocache.uploader.push import BinaryCache
from nix_autocache.uploader.read_proxy import reports as reports_module
from nix_autocache.uploader.read_proxy.reports import Reports
from tests.harness import samples
from tests.harness.object_cache import STORE, FaultyCache, base, hash_part
from tests.harness.waiting import wait_for

NAME = f"{hash_part(1)}.narinfo"


def narinfo(number: int, more: str = "") -> str:
    made = FaultyCache()
    name, _ = made.add(number, b"archive")
    return made.objects[name].decode() + f"Sig: key-1:{'A' * 86}==\n{more}"


class Store(FaultyCache):
    """Takes objects, and counts how often."""

    puts = 0

    def put(self, name: str, body: bytes, content_type: str) -> None:
        self.puts += 1
        self.objects[name] = body


def reported(*calls: tuple[str, object]) -> NixReading:
    """What is heard of a proxy's reports through a pipe."""
    reading = NixReading()
    out, into = os.pipe()
    reports = Reports(into)
    with open(out, "rb") as lines:
        for kind, argument in calls:
            getattr(reports, kind)(NAME, argument)
            reading.hear(lines.readline())
    os.close(into)
    return reading


def test_what_the_cache_lacked_a_moment_ago_is_known() -> None:
    assert reported(("missed", time.monotonic())).lacks(NAME)
    assert not reported(("missed", time.monotonic())).lacks(f"{hash_part(2)}.narinfo")


def test_what_the_cache_lacked_a_minute_ago_may_be_there_by_now() -> None:
    assert not reported(("missed", time.monotonic() - nix_reading._FRESH - 1)).lacks(NAME)


def test_what_was_found_or_pushed_since_is_not_lacking() -> None:
    assert not reported(("missed", time.monotonic()), ("used", narinfo(1).encode())).lacks(NAME)


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"\n", b"[]\n", b"{}\n", b"7\n", b'{"name": "x"}\n', b'{"name": {}, "narinfo"', b"[" * 99_999),
        *(b'{"name": {}, "narinfo": "x"}', b'{"name": "x", "narinfo": 7}', b'{"name": [], "missed": 1.0}'),
        b'{"known": ["x"]}',
    ],
    ids=range(12),
)
def test_a_line_that_is_no_report_changes_nothing(line: bytes) -> None:
    reading = NixReading()
    reading.hear(line)
    store = Store()
    reading.write_index(store, "index")  # type: ignore[arg-type]
    assert (store.puts, reading.take_known(), reading.used) == (0, "", [])


def test_what_the_cache_looked_up_is_taken_once() -> None:
    reading = NixReading()
    assert reading.take_known() == ""
    out, into = os.pipe()
    known = "x" * 300_000  # more than a pipe takes at once
    with open(out, "rb") as lines:
        Reports(into).known(known)
        reading.hear(lines.readline())
    os.close(into)
    assert (reading.take_known(), reading.take_known()) == (known, "")


def test_what_was_used_is_the_index_and_is_written_once() -> None:
    reading, store = reported(("used", narinfo(1).encode())), Store()
    reading.note({f"{hash_part(2)}.narinfo": narinfo(2)})
    for _ in range(2):
        reading.write_index(store, "index")  # type: ignore[arg-type]
    assert store.puts == 1
    found = RunIndex.decode(store.objects["index"]).narinfos
    assert list(found.values()) == [narinfo(2), narinfo(1)]
    reading.note({f"{hash_part(2)}.narinfo": narinfo(2)})
    reading.write_index(store, "index")  # type: ignore[arg-type]
    assert store.puts == 1
    reading.note({f"{hash_part(3)}.narinfo": narinfo(3)})
    reading.write_index(store, "index")  # type: ignore[arg-type]
    assert store.puts == 2


def test_an_index_that_could_not_be_written_is_written_later() -> None:
    class Busy(Store):
        def put(self, name: str, body: bytes, content_type: str) -> None:
            super().put(name, body, content_type)
            if self.puts == 1:
                raise OSError("busy")

    reading, store = reported(("used", narinfo(1).encode())), Busy()
    with pytest.raises(OSError, match="busy"):
        reading.write_index(store, "index")  # type: ignore[arg-type]
    reading.write_index(store, "index")  # type: ignore[arg-type]
    assert store.puts == 2


def test_of_too_many_paths_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nix_reading, "LARGEST", 3 * len(narinfo(1)))
    monkeypatch.setattr(nix_reading, "_MOST", 2)
    reading, store = NixReading(), Store()
    for number in range(1, 6):
        reading.note({f"{hash_part(number)}.narinfo": narinfo(number)})
    reading.write_index(store, "index")  # type: ignore[arg-type]
    assert list(RunIndex.decode(store.objects["index"]).narinfos.values()) == [narinfo(5), narinfo(4), narinfo(3)]
    names = ("a", "b", "c")
    for name in names:
        reading.hear(json.dumps({"name": name, "missed": time.monotonic()}).encode())
    assert [reading.lacks(name) for name in names] == [False, True, True]


def test_a_proxy_whose_reports_nobody_takes_does_not_wait_and_loses_no_half_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports_module, "_TOGETHER", 0.001)
    monkeypatch.setattr(reports_module, "_MOST", 400)  # more than a pipe takes
    out, into = os.pipe()
    os.set_blocking(out, False)
    reports, content = Reports(into), b""
    for _ in range(2000):
        reports.used(NAME, narinfo(1).encode())

    def has_arrived() -> bool:
        nonlocal content
        reports.missed("last", 0.0)
        with suppress(BlockingIOError):
            content += os.read(out, 1 << 20)
        return b'"last"' in content

    wait_for(has_arrived, "a line after those that were lost")
    assert {json.loads(line)["name"] for line in content.splitlines()[:-1]} <= {NAME, "last"}
    os.close(into)
    os.close(out)


def test_what_nix_was_told_is_missing_is_not_asked_for_and_all_else_is() -> None:
    cache, reading = Store(), NixReading()
    infos = [replace(samples.INFO, path=StorePath(f"{STORE}/{base(number)}")) for number in (1, 2)]
    pusher = BinaryCache(
        cache=cache,  # type: ignore[arg-type]
        key=None,
        codec=Codec(name="none", level=0),
        cache_info="",
        reading=reading,
    )
    reading.hear(json.dumps({"name": NAME, "missed": time.monotonic()}).encode())
    assert pusher.ask(infos) == {infos[0].path: ABSENT, infos[1].path: ABSENT}
    assert cache.asked == {f"{hash_part(2)}.narinfo": 1}
