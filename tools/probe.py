"""Measures on GitHub what tests cannot: what its cache allows, how long it takes, what it forgets.

`.github/workflows/probe.yml` runs it in a step of an action, which has the variables, by our own client. The arguments
are names of MEASURES. Their rows go to standard output and to the job's summary. What it makes begins with PREFIX, and
GitHub removes it after a week.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias
from urllib.parse import parse_qs, urlsplit

from nix_autocache.caches.actions.cache import ActionsCache
from nix_autocache.caches.actions.keys import Place
from nix_autocache.caches.actions.opening import open_service
from nix_autocache.caches.actions.service import BLOCK, ActionsService, Located, Part, Upload
from nix_autocache.caches.protocol import Content
from nix_autocache.ci.lane import Lane
from nix_autocache.errors import CacheBusy, CacheError, one_line
from nix_autocache.nix import base32
from nix_autocache.nix.narinfo import NarFile, render
from nix_autocache.nix.store import PathInfo, StorePath

PREFIX: Final = "nix-autocache-probe/"
VERSION: Final = "70726f6265" + "0" * 54  # "probe"
PERMISSIONS: Final = {1: "read", 2: "write", 3: "read and write"}
PATHS: Final = 300
PATIENCE: Final = 120.0  # seconds for an entry to be found

Rows: TypeAlias = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Probe:
    """`nonce` makes the keys of this run its own. A large entry has so many `blocks` of 8 MiB, and a store path
    `path_size` bytes."""

    service: ActionsService
    environ: Mapping[str, str]
    nonce: str
    blocks: int = 8
    creations: int = 400
    path_size: int = 300_000

    def key(self, name: str) -> str:
        return f"{PREFIX}{self.nonce}/{name}"

    def save(self, key: str, blocks: list[bytes]) -> bool:
        """False if the key was taken."""
        upload = self.service.reserve(key)
        if upload is None:
            return False
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(upload.put, range(0, len(blocks) * BLOCK, BLOCK), blocks))
        upload.finish(sum(map(len, blocks)))
        return True

    def found(self, key: str) -> Located:
        """Raises CacheError where it is not found within PATIENCE."""
        begun = time.monotonic()
        while time.monotonic() - begun < PATIENCE:
            if located := self.service.find([key]):
                return located
            time.sleep(0.1)
        raise CacheError(f"not found within {PATIENCE:.0f} s")


def token(probe: Probe) -> Rows:
    """What the job may do, by the claim `ac` of its token and by the service."""
    names = ("GITHUB_EVENT_NAME", "GITHUB_REF", "ACTIONS_CACHE_MODE", "ACTIONS_CACHE_SERVICE_V2")
    yield from ((name, probe.environ.get(name) or "not set") for name in names)
    with suppress(ValueError, KeyError, IndexError):
        payload = probe.environ["ACTIONS_RUNTIME_TOKEN"].split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        yield "claims of the token", ", ".join(sorted(claims))
        for each in json.loads(claims["ac"]):
            yield f"scope {each['Scope']}", PERMISSIONS.get(each["Permission"], str(each["Permission"]))
    yield "a new entry", "can be made" if probe.save(probe.key("token"), [b"x"]) else "is taken"


def keys(probe: Probe) -> Rows:
    """Keys that are taken."""
    probe.save(probe.key("taken"), [b"x"])
    probe.service.reserve(probe.key("reserved"))
    for name in ("taken", "reserved"):
        again = probe.service.reserve(probe.key(name))
        yield f"a key that was {name} before", "can be reserved again" if again else "is taken"
    yield "a reservation as an entry", "is found" if probe.service.find([probe.key("reserved")]) else "is not found"


def requests(probe: Probe) -> Rows:
    """Seconds for each call, one after the other."""
    timed: dict[str, Callable[[int], object]] = {
        "a lookup that finds nothing": lambda number: probe.service.find([probe.key(f"none-{number}")]),
        "a reservation": lambda number: probe.service.reserve(probe.key(f"timed-{number}")),
        "a small entry": lambda number: probe.save(probe.key(f"small-{number}"), [b"x"]),
    }
    for name, call in timed.items():
        taken = [seconds(partial(call, number)) for number in range(10)]
        yield name, f"{median(taken):.3f} s (at most {max(taken):.3f} s)"


def delay(probe: Probe) -> Rows:
    """Seconds until a new entry is found, and found as the newest of its prefix."""
    probe.save(probe.key("delay/first"), [b"x"])
    taken, newest = [], 0
    for number in range(5):
        key = probe.key(f"delay/{number}")
        probe.save(key, [b"x"])
        taken.append(seconds(partial(probe.found, key)))
        found = probe.service.find([probe.key("delay/")])
        newest += found is not None and found.key == key
    yield "until a new entry is found", f"{median(taken):.3f} s (at most {max(taken):.3f} s)"
    yield "then the newest of its prefix", f"{newest} of {len(taken)} times"


def throughput(probe: Probe) -> Rows:
    """Of one large entry, and how long its link is valid."""
    key, size = probe.key("large"), probe.blocks * BLOCK
    blocks = [os.urandom(BLOCK) for _ in range(probe.blocks)]
    yield "upload, 8 blocks at once", rate(size, seconds(lambda: probe.save(key, blocks)))
    url = probe.found(key).url
    yield "download, one stream", rate(size, seconds(lambda: read(probe.service, url, 0, size)))
    with ThreadPoolExecutor(8) as pool:
        starts = range(0, size, BLOCK)
        at_once = seconds(lambda: list(pool.map(lambda start: read(probe.service, url, start, start + BLOCK), starts)))
    yield "download, 8 ranges at once", rate(size, at_once)
    for ends in parse_qs(urlsplit(url).query).get("se", []):
        left = datetime.fromisoformat(ends) - datetime.now(UTC)
        yield "a link to read is valid for", f"{left.total_seconds():.0f} s"


def age(probe: Probe) -> Rows:
    """Which entries of earlier runs are still there. They are looked up, and never read, which would keep them."""
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=number) for number in range(1, 31)]
    there = [day for day in days if probe.service.find([of_day(day)])]
    yield "entries of runs in the last 30 days", ", ".join(map(str, there)) or "none"
    probe.save(of_day(today), [b"x"])


@dataclass
class Counted:
    """A service, with the number of its calls. Blobs are not counted: a job's limits are those of the service."""

    service: ActionsService
    calls: Counter[str] = field(default_factory=Counter)

    def find(self, keys: Sequence[str]) -> Located | None:
        self.calls["lookups"] += 1
        return self.service.find(keys)

    def reserve(self, key: str) -> Upload | None:
        self.calls["creations"] += 1
        upload = self.service.reserve(key)
        return CountedUpload(upload, self.calls) if upload else None

    def read(self, url: str, start: int, end: int) -> Part | None:
        return self.service.read(url, start, end)

    def stream(self, url: str, start: int, end: int) -> Content | None:
        return self.service.stream(url, start, end)

    def close_connections(self) -> None:
        self.service.close_connections()


@dataclass(frozen=True)
class CountedUpload:
    upload: Upload
    calls: Counter[str]

    def put(self, offset: int, block: bytes) -> None:
        self.upload.put(offset, block)

    def finish(self, size: int) -> None:
        self.calls["finalizations"] += 1
        self.upload.finish(size)


def job(probe: Probe) -> Rows:
    """The calls of a cold job of PATHS, and of a warm one that reads all of them, once they can be found."""
    paths = [StoredPath.made(os.urandom(probe.path_size)) for _ in range(PATHS)]
    for name, use in (("cold", put_all), ("warm", get_all)):
        counted = Counted(probe.service)
        taken = seconds(partial(use, opened(probe, counted), paths))
        calls = ", ".join(f"{number} {what}" for what, number in sorted(counted.calls.items()))
        yield f"a {name} job of {PATHS} paths", f"{calls}; {taken:.1f} s"
        begun = time.monotonic()
        while opened(probe, probe.service).get(paths[0].name) is None and time.monotonic() - begun < PATIENCE:
            time.sleep(0.1)


def opened(probe: Probe, service: ActionsService) -> ActionsCache:
    lane = Lane(probe.nonce.replace("-", "")[-16:].rjust(16, "0"), "0" * 8)
    return ActionsCache(service, [Place(lane, "probe")], probe.environ, "/nix/store")


@dataclass(frozen=True)
class StoredPath:
    """A store path of one file, as it is not compressed."""

    archive: str
    content: bytes = field(repr=False)
    name: str
    narinfo: bytes

    @classmethod
    def made(cls, content: bytes) -> StoredPath:
        digest = base32.encode(sha256(content).digest())
        path = StorePath(f"/nix/store/{digest[:32]}-probe")
        info = PathInfo(path, "", (), f"sha256:{digest}", len(content), "", ())
        file = NarFile(f"nar/{digest}.nar", "none", digest, len(content))
        return cls(file.url, content, f"{digest[:32]}.narinfo", render(info, file, None).encode())


def put_all(cache: ActionsCache, paths: list[StoredPath]) -> None:
    """As an uploader does: it asks, puts, and makes visible."""
    for path in paths:
        if cache.get(path.name) is None:
            cache.put(path.archive, path.content, "")
            cache.put(path.name, path.narinfo, "")
    cache.seal()


def get_all(cache: ActionsCache, paths: list[StoredPath]) -> None:
    """As Nix does. Raises CacheError for what is not as it was put."""
    for path in paths:
        content = cache.open(path.archive) if cache.get(path.name) == path.narinfo else None
        if content is None or b"".join(content.pieces) != path.content:
            raise CacheError(f"{path.name} is not what was put there")


def limit(probe: Probe) -> Rows:
    """New entries until the service wants a pause: the last measure, since all jobs of the repository share it."""
    begun = time.monotonic()
    for number in range(probe.creations):
        try:
            probe.service.reserve(probe.key(f"limit-{number}"))
        except CacheBusy as busy:
            after = f"{number} in {time.monotonic() - begun:.0f} s"
            yield "reservations until a pause", f"{after}, then {busy.retry_after:.0f} s ({one_line(busy)})"
            return
    yield "reservations until a pause", f"none after {probe.creations} in {time.monotonic() - begun:.0f} s"


MEASURES: Final[Mapping[str, Callable[[Probe], Rows]]] = {
    measure.__name__: measure for measure in (token, keys, requests, delay, throughput, age, job, limit)
}


def of_day(day: date) -> str:
    return f"{PREFIX}day/{day}"


def read(service: ActionsService, url: str, start: int, end: int) -> None:
    content = service.stream(url, start, end)
    if content is None or sum(map(len, content.pieces)) != end - start:
        raise CacheError("there is less to read than was written")


def seconds(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def rate(size: int, taken: float) -> str:
    return f"{size / taken / 10**6:.1f} MB/s"


def rows(probe: Probe, names: list[str]) -> Rows:
    """Of these measures; one that fails is a row that says why."""
    for name in names:
        try:
            yield from MEASURES[name](probe)
        except (CacheBusy, CacheError) as error:
            yield f"{name} failed", one_line(error)


def main(names: list[str], environ: Mapping[str, str]) -> int:
    """1 in a job without a cache."""
    service = open_service(environ, VERSION)
    if service is None:
        print("this step has no Actions cache, or not the variables for it")
        return 1
    run = "-".join(environ.get(f"GITHUB_RUN_{name}", "0") for name in ("ID", "ATTEMPT"))
    summary = Path(environ.get("GITHUB_STEP_SUMMARY") or os.devnull)
    with summary.open("a", encoding="utf-8") as file:
        file.write("| what | measured |\n|---|---|\n")
        for what, measured in rows(Probe(service, environ, f"{run}-{os.urandom(4).hex()}"), names):
            print(f"{what}: {measured}", flush=True)
            file.write("| {} | {} |\n".format(*(re.sub(r"[|\n]", " ", text) for text in (what, measured))))
            file.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ))
