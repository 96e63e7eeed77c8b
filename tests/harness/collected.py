"""Caches in memory for tests of the collector: paths with archives, time that passes, and the question what is open."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from nix_autocache.caches.run_record import RunName, RunRecord
from nix_autocache.ci.lane import Lane
from nix_autocache.collecting.collector import Collector
from nix_autocache.collecting.lock import Clock
from nix_autocache.collecting.policy_inputs import Policy
from nix_autocache.collecting.report import Report
from nix_autocache.nix import base32
from tests.harness.memory_store import MemoryStore

DAY = 86400.0
LANE = Lane("0123456789abcdef", "01234567")


def part(number: int) -> str:
    """A hash part; those of different numbers differ from the first characters on."""
    return base32.encode(hashlib.sha1(str(number).encode()).digest())


def narinfo(number: int) -> str:
    return f"{part(number)}.narinfo"


def archive(content: int) -> str:
    return f"nar/{base32.encode(hashlib.sha256(str(content).encode()).digest())}.nar.zst"


def narinfo_text(number: int, references: Sequence[int], url: str) -> bytes:
    named = " ".join(f"{part(each)}-path-{each}" for each in references)
    return f"StorePath: /nix/store/{part(number)}-path-{number}\nURL: {url}\nReferences: {named}\n".encode()


def add(store: MemoryStore, number: int, references: Sequence[int] = (), content: int | None = None) -> None:
    """Push a path as everybody does, the archive first. Paths of the same content share an archive."""
    url = archive(number if content is None else content)
    if url not in store.contents:
        store.put(url, b"x" * 100)
    store.put(narinfo(number), narinfo_text(number, references, url))


def record(store: MemoryStore, roots: Iterable[int], lane: Lane = LANE) -> str:
    """Write the run record of a job that used these."""
    name = str(RunName(lane, store.now))
    store.put(name, RunRecord(frozenset(map(part, roots))).encode())
    return name


def opened(store: MemoryStore) -> list[str]:
    """What is not closed: narinfos without their archive or a narinfo that they refer to."""
    wrong = []
    for name, content in list(store.contents.items()):
        if not name.endswith(".narinfo"):
            continue
        fields = dict(line.split(": ", 1) for line in content.decode().splitlines() if ": " in line)
        if fields["URL"] not in store.contents:
            wrong.append(f"{name} lacks its archive")
        wrong += [
            f"{name} lacks {base}"
            for base in fields.get("References", "").split()
            if f"{base[:32]}.narinfo" not in store.contents
        ]
    return wrong


def save(store: MemoryStore, directory: Path) -> None:
    """Write the objects as the files of a cache in a directory."""
    for name, content in store.contents.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def narinfos(store: MemoryStore) -> set[str]:
    return {name for name in store.contents if name.endswith(".narinfo")}


def archives(store: MemoryStore) -> set[str]:
    return {name for name in store.contents if name.startswith("nar/")}


def clock_of(store: MemoryStore) -> Clock:
    def wait(seconds: float) -> None:
        store.now += seconds

    return Clock(lambda: store.now, wait)


def collector(
    store: MemoryStore, policy: Policy | None = None, said: list[str] | None = None, *, alone: bool = False
) -> Collector:
    tell = (said if said is not None else []).append
    return Collector(store, policy or Policy(at_most=1.0), clock_of(store), tell, alone=alone)


def collect(store: MemoryStore, policy: Policy | None = None, *, now: bool = False) -> Report:
    return collector(store, policy).collect(now=now)


def daily(store: MemoryStore, days: int, policy: Policy | None = None) -> None:
    """Run the collector once a day."""
    for _ in range(days):
        store.now += DAY
        collect(store, policy)
