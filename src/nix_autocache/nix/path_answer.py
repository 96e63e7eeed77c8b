"""The daemon's answer about one path, checked: any user of the machine may have put parts of it into Nix's database."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from ..errors import StoreError
from . import base32
from . import worker_protocol as protocol
from .store import PathInfo, StorePath, store_path_of
from .worker_protocol import Source

LONGEST: Final = 4096  # bytes of a text that has a meaning
_SIGNATURES: Final = 1024  # of one path: any user can add some, and each takes time to verify
_HASH: Final = re.compile(rb"[0-9a-f]{64}")
_CONTENT_ADDRESS: Final = re.compile(rb"[!-~]*")
_SIGNATURE: Final = re.compile(rb"[!-9;-~]{1,200}:[A-Za-z0-9+/]{86}==")  # 64 bytes

Answer: TypeAlias = PathInfo | StoreError
"""A valid path's record, or the reason why it cannot be used."""


def read_answer(source: Source, path: StorePath, store_dir: str) -> Answer | None:
    """Read the answer for `path`; None if the path is not valid. Raises BrokenConversation, or as `source` does."""
    if (refused := protocol.read_log(source)) is not None:
        return StoreError(f"Nix says: {refused}")
    if not protocol.read_bool(source):
        return None
    deriver, nar_hash = protocol.read_text(source, LONGEST), protocol.read_text(source, LONGEST)
    references, others = protocol.read_texts(source, LONGEST, lambda each: bool(store_path_of(each, store_dir)))
    registered, nar_size = protocol.read_number(source), protocol.read_number(source)
    ultimate = protocol.read_bool(source)
    # Any user can add signatures through the daemon, which does not check them.
    signatures, _ = protocol.read_texts(
        source, LONGEST, lambda each: _SIGNATURE.fullmatch(each) is not None, _SIGNATURES
    )
    ca = protocol.read_text(source, LONGEST)
    if others:
        return _unusable(path, "a reference that is no store path")
    if nar_hash is None or not _HASH.fullmatch(nar_hash):
        return _unusable(path, "a hash that is none")
    if not 0 < nar_size < 1 << 63:
        return _unusable(path, f"a size of {nar_size} bytes")
    if ca is None or not _CONTENT_ADDRESS.fullmatch(ca):
        return _unusable(path, "a content address that is none")
    return PathInfo(
        path=path,
        deriver=store_path_of(deriver or b"", store_dir) or "",
        references=tuple(StorePath(reference.decode()) for reference in sorted(set(references))),
        nar_hash=f"sha256:{base32.encode(bytes.fromhex(nar_hash.decode()))}",
        nar_size=nar_size,
        ca=ca.decode(),
        signatures=tuple(each.decode() for each in signatures),
        registered=registered,
        ultimate=ultimate,
    )


def _unusable(path: StorePath, what: str) -> StoreError:
    return StoreError(f"Nix knows {what} of {path}; `nix-store --verify` may say more")
