"""Judges what a cache returns for a narinfo: is the path there, does it lack a signature, or is it missing?

The cache may return a web page, half a file, the narinfo of another path, or one that somebody planted. A path is there
only if Nix can read the narinfo, it names the path and an archive, and it has a signature that readers trust. Format:
src/libstore/nar-info.cc of Nix, which refuses a narinfo for a single field that it cannot parse.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Final

from ..nix import base32
from ..nix.keys import Verifier
from ..nix.narinfo import SIGNATURE, fingerprint, parse
from ..nix.store import BASE_NAME, PathInfo, StorePath, parse_store_path
from ..nix.unpack import CORRUPT, unpacked
from ..system.dataclass import dataclass, replace

_LARGEST: Final = 1 << 20  # bytes of a narinfo
_SIGNATURES: Final = 32  # of a narinfo; further ones are ignored
_ONCE: Final = frozenset({"StorePath", "URL", "NarHash", "NarSize"})
_AT_MOST_ONCE: Final = ("Compression", "FileHash", "FileSize", "References", "Deriver", "CA")
_COMPRESSIONS: Final = frozenset(
    {"none", "br", "bzip2", "compress", "grzip", "gzip", "lrzip", "lz4", "lzip", "lzma", "lzop", "xz", "zstd"}
)
# With narinfo-compression, Nix stores narinfos with a Content-Encoding, and not every client decodes it.
_ENCODED: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz", b"BZh": "bzip2"}
# An archive in this cache. A narinfo may also have a whole URL, and Nix would fetch that from another host.
OWN_ARCHIVE: Final = re.compile(r"nar/[0-9A-Za-z][0-9A-Za-z._=-]*")
_DIGITS: Final = re.compile(r"[0-9]{1,19}")
_DERIVER: Final = re.compile(f"{BASE_NAME.pattern}|unknown-deriver")
_CA: Final = re.compile(r"(text|fixed):(r:|git:)?(md5|sha1|sha256|sha512|blake3):[0-9A-Za-z+/=]+")
_SHA256: Final = re.compile(r"sha256[:-](?:([0-9a-df-np-sv-z]{52})|([0-9a-fA-F]{64})|([0-9A-Za-z+/]{43}=))")


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive that a narinfo names, which is not verified, and the narinfo's `signatures`."""

    url: str
    compression: str
    signatures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The state of a path in the cache. `archive` is set if only a trusted signature seems to be missing."""

    there: bool
    archive: Archive | None = None


ABSENT: Final = Found(False)
THERE: Final = Found(True)


def judge(content: bytes | None, info: PathInfo, readers: Collection[Verifier]) -> Found:
    """Judge `content`, which the cache returned for the narinfo of a path; None if it had none.

    `readers` are the keys that readers trust. If there are none, no signature is needed.
    """
    fields = fields_of(content)
    found = fields and path_info(fields, info.path)
    if not fields or not found:
        return ABSENT
    if not readers or is_signed(found, readers) or _is_content_addressed(found, info):
        return THERE
    ours = replace(info, signatures=(), deriver="", ca="", registered=0, ultimate=False)
    if replace(found, signatures=(), ca="") != ours or not OWN_ARCHIVE.fullmatch(fields["URL"][0]):
        return ABSENT
    compression = fields.get("Compression", ["bzip2"])[0]
    return Found(False, Archive(fields["URL"][0], compression, found.signatures))


def decoded(content: bytes) -> str:
    """The text of a small object, decompressed if necessary; empty if that fails."""
    for magic, name in _ENCODED.items():
        if content.startswith(magic):
            return _text(b"".join(_at_most(unpacked(name, [content]))))
    return _text(content)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _at_most(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, or none if they are broken or larger than a narinfo can be."""
    whole, size = [], 0
    with suppress(*CORRUPT):
        for piece in pieces:
            whole.append(piece)
            size += len(piece)
            if size > _LARGEST:
                return
        yield from whole


def fields_of(content: bytes | None) -> Mapping[str, list[str]] | None:
    """The fields of a narinfo; None if Nix would refuse it, or it is ambiguous."""
    try:
        fields = parse(decoded(content or b""))
    except ValueError:
        return None
    ambiguous = any(len(values) > 1 and (name in _ONCE or name in _AT_MOST_ONCE) for name, values in fields.items())
    return None if ambiguous or not fields.keys() >= _ONCE else fields


def path_info(fields: Mapping[str, list[str]], path: StorePath) -> PathInfo | None:
    """The path info in the fields; None if they are about another path than `path`, or malformed."""
    optional = {name: fields[name][0] for name in _AT_MOST_ONCE if fields.get(name)}
    nar_hash = sha256_of(fields["NarHash"][0])
    signatures = tuple(fields.get("Sig", ())[:_SIGNATURES])
    well_formed = (
        fields["StorePath"][0] == path
        and fields["URL"][0].strip()
        and nar_hash
        and _DIGITS.fullmatch(fields["NarSize"][0])
        and optional.get("Compression", "none") in _COMPRESSIONS
        and sha256_of(optional.get("FileHash", f"sha256:{'0' * 52}"))
        and _DIGITS.fullmatch(optional.get("FileSize", "0"))
        and _DERIVER.fullmatch(optional.get("Deriver", "unknown-deriver"))
        and _CA.fullmatch(optional.get("CA") or "text:sha256:0")
        and all(SIGNATURE.fullmatch(signature) for signature in signatures)
    )
    references = _references(optional.get("References", ""), path.rpartition("/")[0])
    if not well_formed or nar_hash is None or references is None:
        return None
    size = int(fields["NarSize"][0])
    return PathInfo(path, "", references, nar_hash, size, optional.get("CA", ""), signatures)


def _references(text: str, store_dir: str) -> tuple[StorePath, ...] | None:
    try:
        return tuple(sorted(parse_store_path(f"{store_dir}/{name}", store_dir) for name in text.split()))
    except ValueError:
        return None


def sha256_of(text: str) -> str | None:
    """Convert a sha256 in any form that Nix reads to that of a fingerprint; None for anything else."""
    match = _SHA256.fullmatch(text)
    if not match:
        return None
    nix, hexadecimal, base64_text = match.groups()
    if nix:
        return f"sha256:{nix}"
    return f"sha256:{base32.encode(bytes.fromhex(hexadecimal) if hexadecimal else base64.b64decode(base64_text))}"


def is_signed(found: PathInfo, readers: Collection[Verifier]) -> bool:
    """True if one of its signatures is by one of the keys, and over what it says."""
    text = fingerprint(found)
    return any(key.verifies(text, signature) for signature in found.signatures for key in readers)


def _is_content_addressed(found: PathInfo, info: PathInfo) -> bool:
    """True if it is content-addressed, and the same as in this store: then Nix needs no signature."""
    return bool(info.ca) and (found.ca, found.nar_hash, found.nar_size, found.references) == (
        info.ca, info.nar_hash, info.nar_size, info.references,
    )  # fmt: skip
