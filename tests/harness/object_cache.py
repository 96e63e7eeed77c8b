"""An object cache in memory whose objects can be late, cut, changed or gone, and which counts what it is asked."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nix_autocache.caches.protocol import Content
from nix_autocache.errors import CacheBusy, CacheError
from nix_autocache.nix import base32
from nix_autocache.nix.keys import SecretKey
from nix_autocache.nix.narinfo import fingerprint
from nix_autocache.nix.store import PathInfo, StorePath

STORE = "/nix/store"
PIECE = 100_000
FAULTS = ("gone", "changed", "cut", "longer", "broken", "busy", "refused", "bug")


@dataclass
class FaultyCache:
    """`faults` are by name. What is in `late` is answered when its event is set; archives after their first piece."""

    objects: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    late: dict[str, threading.Event] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    busy: bool = False
    tells_sizes: bool = True

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


def hash_part(number: int) -> str:
    return f"{number:032d}"


def base(number: int) -> str:
    return f"{hash_part(number)}-path"
