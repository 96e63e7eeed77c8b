"""A cache of a million narinfos, as its collector sees it: time that grows linearly, memory, and no narinfo read twice.

The listing is simulated: what a store takes for it is not measured.
"""

import hashlib
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp

from nix_autocache.caches.protocol import Body, Collectable, Content, Stored, VisibleAtOnce
from nix_autocache.caches.run_record import RunName, RunRecord
from nix_autocache.ci.lane import Lane
from nix_autocache.collecting.collector import Collector
from nix_autocache.collecting.lock import Clock
from nix_autocache.collecting.policy_inputs import Policy
from nix_autocache.nix import base32
from tests.bench.measure import growth, verdict
from tests.harness.tools import PROJECT

COUNTS = (100_000, 1_000_000)
REFERENCES = 9  # at most; 4.5 in the mean
LIMIT = 400  # MB
DAY = 86400.0
LETTERS = "0123456789abcdfghijklmnpqrsvwxyz"
NOW = 1_800_000_000.0


class Simulated(VisibleAtOnce, Collectable):
    """So many paths, a tenth of them dead; each refers to earlier ones of the same kind."""

    together = 1

    def __init__(self, count: int) -> None:
        self.count, self.now, self.read = count, NOW, 0
        self.own: dict[str, Path] = {}  # not in memory, which is the collector's
        self.times: dict[str, float] = {}
        self.gone = bytearray(count)
        self.directory = Path(mkdtemp())
        self.put(str(RunName(Lane("0" * 16, "0" * 8), NOW)), RunRecord(frozenset([part(count - 1)])).encode(), "")

    def open_connections(self, count: int) -> None: ...

    def close_connections(self) -> None: ...

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        return {}

    def get(self, name: str) -> bytes | None:
        if name.endswith(".narinfo"):
            self.read += 1
            return narinfo(number_of(name))
        return self.own[name].read_bytes() if name in self.own else None

    def open(self, name: str) -> Content | None:
        return Content(None, pieces(self.own[name])) if name in self.own else None

    def exists(self, name: str) -> bool:
        return not self.gone[number_of(name)]

    def put(self, name: str, body: Body, content_type: str) -> None:
        self.own[name], self.times[name] = self.directory / hashlib.sha1(name.encode()).hexdigest(), self.now
        with self.own[name].open("wb") as file:
            file.writelines([body] if isinstance(body, bytes) else body)

    def put_if(self, name: str, content: bytes, etag: str | None) -> bool:
        if etag is None and name in self.own:
            return False
        self.put(name, content, "")
        return True

    def delete(self, names: Sequence[str]) -> Mapping[str, str]:
        for name in names:
            if self.own.pop(name, None) is None:
                self.gone[number_of(name)] = 1
        return {}

    def objects(self, folder: str = "") -> Iterator[Stored]:
        for name, path in list(self.own.items()):
            if name.startswith(folder):
                yield Stored(name, path.stat().st_size, "own", self.times[name])
        if folder:
            return
        for number in range(self.count):
            modified = NOW - 40 * DAY if is_dead(number) else NOW
            if not self.gone[number]:
                yield Stored(f"{part(number)}.narinfo", 900, f'"{number:032x}"', modified)
            yield Stored(archive(number), 1_000_000, f'"{number:032x}"', modified)


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def is_dead(number: int) -> bool:
    return number % 10 == 3


def part(number: int) -> str:
    return base32.encode(number.to_bytes(8, "little") + hashlib.sha1(str(number).encode()).digest()[:12])


def number_of(name: str) -> int:
    value = 0
    for letter in name[:32]:
        value = value << 5 | LETTERS.index(letter)
    return value & (1 << 64) - 1


def archive(number: int) -> str:
    return f"nar/{base32.encode(hashlib.sha256(str(number).encode()).digest())}.nar.zst"


def narinfo(number: int) -> bytes:
    chosen = random.Random(number)
    alike = range(max(0, number - 100_000) // 10 * 10 + number % 10, number, 10)
    references = chosen.sample(alike, min(len(alike), chosen.randint(0, REFERENCES)))
    named = " ".join(f"{part(each)}-some-package-1.2.{each}" for each in references)
    return f"StorePath: /nix/store/{part(number)}-x\nURL: {archive(number)}\nReferences: {named}\n".encode()


def collect(store: Simulated) -> float:
    clock = Clock(lambda: store.now, lambda _: None)
    began = time.process_time()
    Collector(store, Policy(), clock, lambda _: None).collect()
    return time.process_time() - began


def one(count: int) -> None:
    """Prints seconds of the first run, of a later one that deletes, its reads, and megabytes."""
    store = Simulated(count)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first = collect(store)
    read, store.now = store.read, store.now + DAY
    second = collect(store)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read == count
    shutil.rmtree(store.directory)
    assert sum(store.gone) == sum(map(is_dead, range(count)))
    print(first, second, store.read - read, peak / 1000, base / 1000)


def main() -> None:
    used: dict[int, list[float]] = {}
    print("\na collector's processor time and memory")
    for count in COUNTS:
        command = [sys.executable, "-m", "tests.bench.gc", str(count)]
        said = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
        used[count] = [float(each) for each in said.split()]
        first, later, _, megabytes, _ = used[count]
        print(f"  {count:>9,} narinfos: first {first:6.1f} s, later {later:6.1f} s, {megabytes:6.1f} MB at most")
    growth("a later run of gc", {count: each[1] for count, each in used.items()})
    few, many = COUNTS
    verdict("gc, time per narinfo, 1,000,000 against 100,000", used[many][1] / used[few][1] / (many / few), 1.5)
    verdict("gc of 1,000,000 narinfos, MB at most", used[many][3], LIMIT)
    verdict("narinfos read twice", used[many][2], 0)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(int(sys.argv[1]))
    else:
        main()
