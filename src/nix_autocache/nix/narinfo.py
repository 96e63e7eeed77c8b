"""The narinfo of a path, which a substituter reads first, and the fingerprint that a signature covers.

Format: Nix manual, "Binary cache: narinfo" (src/libstore/nar-info.cc); fingerprint as in src/libstore/path-info.cc.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from ..system.dataclass import dataclass
from .keys import JOB_PREFIX, SecretKey
from .store import PathInfo, StorePath

CONTENT_TYPE = "text/x-nix-narinfo"
MOST_SIGNATURES: Final = 32  # by other keys, in a narinfo
_LONGEST: Final = 400  # characters of a signature: a name, and 64 bytes in base 64
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
    """A path whose archive is in the cache, and the narinfo that will publish it.

    `size` is the number of bytes uploaded for it, `file` the archive, which other paths may share, `what` its outcome.
    A realisation is published in the same way: then `path` is `derivation!output`, which is no store path, and `name`
    is the name of its object.
    `references` are those of the path; a realisation has the path that it names.
    """

    path: StorePath
    size: int
    narinfo: bytes
    file: NarFile | None = None
    what: str = "pushed"
    name: str = ""
    references: tuple[StorePath, ...] = ()


def fingerprint(info: PathInfo) -> bytes:
    """The signed text: `1;path;nar hash;nar size;references in full, sorted, comma-separated`."""
    return f"1;{info.path};{info.nar_hash};{info.nar_size};{','.join(info.references)}".encode()


def render(info: PathInfo, file: NarFile, key: SecretKey | None) -> str:
    """The narinfo's text, with the store's signatures and, given a key, ours.

    Signatures of job keys are dropped: only that job's Nix trusts them, but fetched paths keep them in the store.
    """
    # Any user can add any number of signatures through the daemon, which does not check them.
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
    """The fields of a narinfo. Each is a list, because `Sig` may occur several times.

    Raises ValueError for a line that is no field, also for one that does not end.
    """
    fields: dict[str, list[str]] = {}
    *lines, rest = text.split("\n")
    for line in lines:
        name, colon, value = line.partition(": ")
        if not colon and line[-1:] != ":":
            raise ValueError(f"{line!r} is no field of a narinfo")
        fields.setdefault(name.rstrip(":"), []).append(value)
    if rest:
        raise ValueError("its last line does not end")
    return fields
