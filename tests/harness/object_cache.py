"""Object caches in memory: one whose objects can be late, cut, changed or gone, and one that seals what is put."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from nix_autocache.caches.protocol import Body, Content, Indexed, VisibleAtOnce
from nix_autocache.errors import CacheBusy, CacheError
from nix_autocache.nix import base32
from nix_autocache.nix.keys import SecretKey
from nix_autocache.nix.narinfo import fingerprint
from nix_autocache.nix.store import PathInfo, StorePath

STORE = "/nix/store"
PIECE = 100_000
FAULTS = ("gone", "changed", "cut", "longer", "broken", "busy", "refused", "bug")


@dataclass
class FaultyCache(VisibleAtOnce):
    """`faults` are by name. What is in `late` is answered when its event is set; archives after their first piece.

    `get_many` leaves out what is faulty, and all after the first that breaks the connection.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    late: dict[str, threading.Event] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    busy: bool = False
    tells_sizes: bool = True
    together: int = 1

    def add(
        self, number: int, archive: bytes, references: Sequence[int] = (), key: SecretKey | None = None
    ) -> tuple[str, str]:
        """A path with that archive; the names of its narinfo and its archive."""
        digest = base32.encode(hashlib.sha256(archive).digest())
        narinfo, name = f"{hash_part(number)}.narinfo", f"nar/{digest}.nar"
        lines = [
            f"StorePath: {STORE}/{base(number)}",
            f"URL: {name}",
            "Compression: none",
            f"FileHash: sha256:{digest}",
            f"FileSize: {len(archive)}",
            f"NarHash: sha256:{digest}",
            f"NarSize: {len(archive)}",
            f"References: {' '.join(base(each) for each in references)}",
        ]
        if key:
            paths = tuple(sorted(StorePath(f"{STORE}/{base(each)}") for each in references))
            digest, size = f"sha256:{digest}", len(archive)
            info = PathInfo(StorePath(f"{STORE}/{base(number)}"), "", paths, digest, size, "", ())
            lines.append(f"Sig: {key.sign(fingerprint(info))}")
        self.objects |= {narinfo: "".join(f"{line}\n" for line in lines).encode(), name: archive}
        return narinfo, name

    def open_connections(self, count: int) -> None: ...

    def close_connections(self) -> None: ...

    def get(self, name: str) -> bytes | None:
        content = self.open(name)
        return None if content is None else b"".join(content.pieces)

    def get_many(self, names: Sequence[str]) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for name in names:
            try:
                found[name] = self.get(name)
            except CacheBusy:
                break
            except (CacheError, ValueError):
                continue
        return found

    def open(self, name: str) -> Content | None:
        self.asked[name] += 1
        fault = self.faults.get(name)
        if self.busy or fault == "busy":
            raise CacheBusy("503")
        if fault == "refused":
            raise CacheError("403")
        if fault == "bug":
            raise ValueError("not ours")
        found = self.objects.get(name)
        if found is None or fault == "gone":
            return None
        stored = {"changed": found[:-1] + b"\x00", "cut": found[:-1], "longer": found + b"x"}.get(fault or "", found)
        return Content(len(stored) if self.tells_sizes else None, self._pieces(name, stored))

    def exists(self, name: str) -> bool:
        return name in self.objects

    def _pieces(self, name: str, stored: bytes) -> Iterator[bytes]:
        for start in range(0, len(stored), PIECE):
            yield stored[start : start + PIECE]
            if self.faults.get(name) == "broken":
                raise CacheBusy("the connection was closed")
            if name in self.late:
                assert self.late[name].wait(30), name


@dataclass
class SealingCache:
    """`visible` is what others see, `found` what this process does. Each seal first raises the next of `troubles`.

    It begins `sealing`, and waits for `goes_on`. Where a seal fails for good, all that was not visible is lost.
    """

    visible: dict[str, bytes] = field(default_factory=dict)
    found: dict[str, bytes] = field(default_factory=dict)
    troubles: list[Exception | None] = field(default_factory=list)
    refuses: Exception | None = None  # what is put
    sealings: int = 0
    sealing: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    seals: ClassVar[bool] = True
    together: ClassVar[int] = 1

    def __post_init__(self) -> None:
        self.goes_on.set()
        self.found.update(self.visible)

    def open_connections(self, count: int) -> None: ...

    def close_connections(self) -> None: ...

    def get(self, name: str) -> bytes | None:
        return self.found.get(name)

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        return {}

    def open(self, name: str) -> Content | None:
        content = self.found.get(name)
        return None if content is None else Content(len(content), iter([content]))

    def exists(self, name: str) -> bool:
        return name in self.found

    def put(self, name: str, body: Body, content_type: str) -> None:
        content = body if isinstance(body, bytes) else b"".join(body)
        if name.endswith("-info"):
            self.visible[name] = self.found[name] = content
        elif self.refuses:
            raise self.refuses
        with self.lock:
            self.found[name] = content

    def seal(self) -> None:
        self.sealings += 1
        self.sealing.set()
        assert self.goes_on.wait(30)
        trouble = self.troubles.pop(0) if self.troubles else None
        if isinstance(trouble, CacheError):
            self.found = dict(self.visible)
        if trouble:
            raise trouble
        self.visible.update((name, self.found[name]) for name in self.unsealed())

    def sealed(self, name: str) -> bool:
        return name in self.visible

    def unsealed(self) -> list[str]:
        """In the order in which they were put."""
        with self.lock:
            return [name for name in self.found if name not in self.visible]

    def seal_first(self, paths: int) -> None:
        """Seal what was put up to the narinfo of so many, as a cache does by itself whose pack is full."""
        for name in self.unsealed():
            if paths:
                self.visible[name] = self.found[name]
                paths -= name.endswith(".narinfo")

    def names(self) -> set[str]:
        """Names of the paths that others see. Each comes with its archive and what it refers to."""
        texts = {name[:32]: text.decode() for name, text in self.visible.items() if name.endswith(".narinfo")}
        for text in texts.values():
            fields = dict(line.split(": ", 1) for line in text.splitlines())
            assert fields["URL"] in self.visible
            assert {each[:32] for each in fields["References"].split()} <= texts.keys()
        return {text.splitlines()[0].rpartition("/")[2][33:] for text in texts.values()}


@dataclass
class IndexedCache(SealingCache, Indexed):
    """One that is stale until it is sealed, as soon as it was told that something is used."""

    used: set[str] = field(default_factory=set)
    learnt: list[str] = field(default_factory=list)

    def known(self) -> str:
        return "known"

    def learn(self, known: str) -> None:
        self.learnt.append(known)

    def use(self, names: Iterable[str]) -> None:
        self.used.update(names)

    @property
    def is_stale(self) -> bool:
        return bool(self.used) and not self.sealings


def hash_part(number: int) -> str:
    return f"{number:032d}"


def base(number: int) -> str:
    return f"{hash_part(number)}-path"
