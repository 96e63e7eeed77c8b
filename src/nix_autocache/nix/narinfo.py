"""The narinfo of a path: what a substituter reads first, and what our signature covers.

Format: Nix manual, "Binary cache: narinfo" (src/libstore/nar-info.cc); fingerprint as in
src/libstore/path-info.cc. `FileHash` and `FileSize` are optional there; we know them, so we say them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import Final

from .keys import JOB_PREFIX, SecretKey
from .store import PathInfo, StorePath

CONTENT_TYPE = "text/x-nix-narinfo"
MOST_SIGNATURES: Final = 32  # of others in a narinfo
_LONGEST: Final = 400  # characters of a signature: its name, and 64 bytes in base 64
SIGNATURE = re.compile(r"[^:\s]+:[A-Za-z0-9+/]+=*")


@dataclass(frozen=True, slots=True)
class NarFile:
    """An uploaded archive: `url` relative to the cache, `file_hash` in base 32, `file_size` in bytes."""

    url: str
    compression: str
    file_hash: str
    file_size: int


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A path whose content is in the cache, and the narinfo that will make it visible.

    `size` is what was uploaded for it, in bytes, `file` the archive, which other paths may share. `what` becomes of
    the path is its outcome. A realisation is published like a path: `path` is then `derivation!output`, which is no
    store path, and `name` that of its object.
    """

    path: StorePath
    size: int
    narinfo: bytes
    file: NarFile | None = None
    what: str = "pushed"
    name: str = ""


def fingerprint(info: PathInfo) -> bytes:
    """What a signature is over: `1;path;nar hash;nar size;references in full, sorted, comma-separated`."""
    return f"1;{info.path};{info.nar_hash};{info.nar_size};{','.join(info.references)}".encode()


def render(info: PathInfo, file: NarFile, key: SecretKey | None) -> str:
    """The narinfo's text, with the store's own signatures and, given a key, ours.

    The signature of a job key is for that job's Nix alone: what it fetched keeps it in the store.
    """
    # Any user can have the daemon add signatures to a path, and it does not look at the text, nor count them.
    formed = (s for s in dict.fromkeys(info.signatures) if len(s) <= _LONGEST and SIGNATURE.fullmatch(s))
    ours = (JOB_PREFIX, f"{key.name}:") if key else (JOB_PREFIX,)
    signatures = list(islice((signature for signature in formed if not signature.startswith(ours)), MOST_SIGNATURES))
    if key:
        signatures.append(key.sign(fingerprint(info)))
    lines = [
        f"StorePath: {info.path}",
        f"URL: {file.url}",
        f"Compression: {file.compression}",
        f"FileHash: sha256:{file.file_hash}",
        f"FileSize: {file.file_size}",
        f"NarHash: {info.nar_hash}",
        f"NarSize: {info.nar_size}",
        f"References: {' '.join(reference.base for reference in info.references)}",
    ]
    if info.deriver:
        lines.append(f"Deriver: {info.deriver.rpartition('/')[2]}")
    lines += [f"Sig: {signature}" for signature in signatures]
    if info.ca:
        lines.append(f"CA: {info.ca}")
    return "\n".join(lines) + "\n"


def parse(text: str) -> dict[str, list[str]]:
    """A narinfo's fields; each is a list, because `Sig` may stand several times."""
    fields: dict[str, list[str]] = {}
    for line in text.split("\n"):
        name, _, value = line.partition(": ")
        fields.setdefault(name.rstrip(":"), []).append(value)
    return fields
