"""The run index: the narinfos of what the last run of a job used, in one object of the cache.

The next run's read proxy answers Nix from it. It is a hint: no narinfo in it is verified here, and it may be out of
date. Its text is the narinfos, each followed by an empty line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from ..errors import CacheError
from ..nix.keys import JOB_PREFIX
from ..nix.store import BASE_NAME, HASH_PART
from ..system.dataclass import dataclass
from . import run_codec
from .protocol import ObjectCache

LARGEST: Final = 6 << 20  # letters of narinfos, some 8,000 of them: the read proxy has them in memory
_LONGEST: Final = 64 << 10  # letters of a narinfo
_OBJECT: Final = 8 << 20  # bytes of text that are read
_KIND: Final = "index"
_PATH: Final = re.compile(rf"^StorePath: /\S*/({BASE_NAME.pattern})$", re.MULTILINE)
_OF_A_JOB: Final = f"Sig: {JOB_PREFIX}"


@dataclass(frozen=True)
class RunIndex:
    """Texts of narinfos, by the hash parts of their paths."""

    narinfos: Mapping[str, str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> RunIndex:
        """An index of those texts that name a path; of two for one path it has the first."""
        narinfos: dict[str, str] = {}
        for text in texts:
            paths = _PATH.findall(text)
            if len(paths) == 1 and text.endswith("\n") and "\n\n" not in text and len(text) <= _LONGEST:
                narinfos.setdefault(paths[0][:HASH_PART], text)
        return cls(narinfos)

    def encode(self) -> bytes:
        """The object. If they are too many, the first are in it: give the newest first.

        Signatures of job keys are left out, as is a narinfo that has no other: only that job's Nix trusts them.
        """
        kept, size = [], 0
        for text in map(_without_job_keys, self.narinfos.values()):
            if "\nSig: " in text:
                size += len(text) + 1
                kept.append(f"{text}\n")
            if size > LARGEST:
                kept.pop()
                break
        return run_codec.pack({"kind": _KIND}, "".join(kept))

    @classmethod
    def read(cls, cache: ObjectCache, name: str) -> RunIndex | None:
        """The index of this name; None if there is none. Raises CacheError if it is damaged, and CacheBusy."""
        found = run_codec.read(cache, name, _OBJECT)
        return found and cls._of_object(*found)

    @classmethod
    def decode(cls, packed: bytes) -> RunIndex:
        """The index in an object. Raises CacheError."""
        return cls._of_object(*run_codec.unpack([packed], _OBJECT))

    @classmethod
    def _of_object(cls, head: run_codec.Head, text: str) -> RunIndex:
        if head.get("kind") != _KIND:
            raise CacheError("it is no run index")
        return cls.of(each.strip("\n") + "\n" for each in text.split("\n\n"))


def _without_job_keys(text: str) -> str:
    if _OF_A_JOB not in text:
        return text
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(_OF_A_JOB))
