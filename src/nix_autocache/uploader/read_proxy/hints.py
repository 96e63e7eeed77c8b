"""What a narinfo says about the objects that Nix will ask for next: its archive, and the narinfos of its references.

Only a hint, since nothing here checks a signature: what is fetched for it goes to nobody but Nix, which does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...nix.store import HASH_PART, StorePath
from ...system.dataclass import dataclass
from ..presence import OWN_ARCHIVE, fields_of, sha256_of

_MOST_DIGITS: Final = 15  # of a size


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive in this cache: its size in bytes, and its hash as `sha256:` and base 32."""

    name: str
    size: int
    file_hash: str


@dataclass(frozen=True, slots=True)
class Hints:
    """`base` is the base name of the path, `references` are those of its references without itself.

    `archive` is None if it lies elsewhere, or if its size or its hash is not known.
    """

    base: str
    references: tuple[str, ...]
    archive: Archive | None


def of_narinfo(content: bytes | None) -> Hints | None:
    """None if Nix would refuse the narinfo."""
    fields = fields_of(content)
    return of_fields(fields) if fields else None


def of_fields(fields: Mapping[str, list[str]]) -> Hints:
    """As `of_narinfo`, for what `presence.fields_of` returns."""
    base = StorePath(fields["StorePath"][0]).base
    references = dict.fromkeys(" ".join(fields.get("References", ())).split())
    references.pop(base, None)
    return Hints(base, tuple(references), _archive(fields["URL"][0], fields.get("FileSize"), fields.get("FileHash")))


def narinfo_of(base: str) -> str:
    """The name of the narinfo of the path with this base name."""
    return f"{base[:HASH_PART]}.narinfo"


def _archive(url: str, sizes: list[str] | None, hashes: list[str] | None) -> Archive | None:
    size, file_hash = (sizes or [""])[0], sha256_of((hashes or [""])[0])
    known = size.isascii() and size.isdigit() and len(size) <= _MOST_DIGITS and int(size) > 0
    return Archive(url, int(size), file_hash) if known and file_hash and OWN_ARCHIVE.fullmatch(url) else None
