"""Reads a path back from a cache: its signature, and whether Nix takes it, and takes no other one's.

What our own reader gets from the cache is put into a directory, from which Nix copies it into a clean store: so it is
tried for every kind of cache, also for those that this Nix cannot read by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..caches.protocol import ObjectCache, PathCache
from ..errors import CacheBusy, CacheError, one_line
from ..nix import keys
from ..nix.clean_store import CleanStore
from ..nix.keys import PublicKey, SecretKey
from ..nix.narinfo import fingerprint
from ..nix.store import PathInfo, StorePath
from ..system.files import make_directory, open_to_write
from ..uploader import presence
from .trial_row import Row

if TYPE_CHECKING:
    from ..uploader.spec import UploadSpec

_OURS: Final = ("Sig: ", "CA: ")  # a path that is content-addressed needs no signature: it must not look like one


def rows(
    spec: UploadSpec, readers: Sequence[PublicKey], path: StorePath, content: bytes, directory: Path
) -> Iterator[Row]:
    """For a path that was written just now. Without `readers`, paths carry no signature in this cache, and what reads
    them for Nix signs them: as it does, with a key of this job."""
    cache = spec.access.open(spec.secret_key)
    if isinstance(cache, PathCache):
        yield Row("it can be fetched", None, "only Nix can read such a store")
        return
    what = "its narinfo can be read"
    try:
        text = cache.get(f"{path.hash_part}.narinfo")
        fields = presence.fields_of(text)
        info = presence.path_info(fields, path) if fields else None
        if text is None or fields is None or info is None:
            yield Row(what, False, _not_as_written(text))
            return
        yield Row(what, True)
        if readers:
            signed = presence.is_signed(info, readers)
            names = ", ".join(key.name for key in readers)
            advice = f"it has no valid signature by {names}; does another program rewrite what is in this cache?"
            yield Row("its signature is valid", signed, "" if signed else advice)
        _download(cache, fields["URL"][0], directory / "cache")
    except (CacheError, CacheBusy) as error:
        yield Row("what was written can be read", False, one_line(error))
        return
    yield from _taken(spec, readers, info, text.decode(), content, directory)


def _not_as_written(text: bytes | None) -> str:
    if text is None:
        return "it was written, and is not found: may these credentials read, and is there no other cache in between?"
    return "what the cache answers is not what was written: does another program rewrite it?"


def _download(cache: ObjectCache, name: str, directory: Path) -> None:
    """Put an archive, which is small, into the directory of a cache. Raises CacheError or CacheBusy."""
    content = cache.get(name) if presence.OWN_ARCHIVE.fullmatch(name) else None
    if content is None:
        raise CacheError(f"the narinfo names {name}, which is not there")
    _write(directory / name, content)


def _write(file: Path, content: bytes) -> None:
    make_directory(file.parent, 0o700)
    with open_to_write(file, 0o600) as opened:
        opened.write(content)


def _taken(
    spec: UploadSpec, readers: Sequence[PublicKey], info: PathInfo, narinfo: str, content: bytes, directory: Path
) -> Iterator[Row]:
    own = keys.generate_job_key()
    trusted = readers or (own.public,)
    signatures = [f"Sig: {each}" for each in info.signatures] if readers else [f"Sig: {own.sign(fingerprint(info))}"]
    plain = [line for line in narinfo.splitlines() if not line.startswith(_OURS)]
    first = CleanStore(spec.access.nix, directory / "clean")
    done = _fetch(first, info.path, [*plain, *signatures], directory, trusted)
    same = done == "" and first.content(info.path) == content
    yield Row("Nix takes it, with a signature required", same, done or ("" if same else "its content was changed"))
    # Of another key with the same name: a text that is no signature at all might be refused for another reason.
    forged = [f"Sig: {_stranger(key).sign(fingerprint(info))}" for key in trusted]
    second = CleanStore(spec.access.nix, directory / "clean-2")
    done = _fetch(second, info.path, [*plain, *forged], directory, trusted)
    advice = "this Nix takes what others signed; is it a Nix that was changed?"
    yield Row("Nix refuses it with the signature of another key", bool(done), "" if done else advice)


def _stranger(key: PublicKey) -> SecretKey:
    return keys.generate(key.name)


def _fetch(
    store: CleanStore, path: StorePath, lines: Sequence[str], directory: Path, trusted: Sequence[PublicKey]
) -> str:
    """Why Nix did not take the path; empty if it did."""
    cache = directory / "cache"
    _write(cache / "nix-cache-info", f"StoreDir: {store.nix.store_dir}\n".encode())
    _write(cache / f"{path.hash_part}.narinfo", "".join(f"{line}\n" for line in lines).encode())
    done = store.fetch(path, cache, trusted)
    if not done.status:
        return ""
    errors = [line.strip() for line in done.error.splitlines() if "error:" in line]
    return f"{errors[0] if errors else done.reason}; does another program change or cut what is in the cache?"
