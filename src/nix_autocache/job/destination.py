"""Where a job's paths go, and whose signature they carry: the inputs `cache`, `signing-key` and `public-keys`.

Without a `cache` it is the embedded default: a directory that the host or else the user keeps. The user's has a
key that is made for it once and lies beside it in a file; the host's has none, and no signatures.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..ci.host import EmbeddedCache
from ..nix import keys
from ..nix.store_url import CacheUrl, of_directory
from ..settings import Settings
from ..system.files import make_directory, write_atomically


@dataclass(frozen=True, kw_only=True)
class Destination:
    """`key_source` is read only by `signing_key`, or by the uploader if the key is in AWS.

    `others` are directories with caches that are only read; what is in them is not pushed again. With `unsigned`, the
    paths carry no signature, and Nix reads `views` of the caches, which a key of this job signed.
    """

    url: CacheUrl
    key_source: keys.KeySource
    public_keys: tuple[keys.PublicKey, ...]
    embedded: bool
    others: tuple[Path, ...] = ()
    unsigned: bool = False
    views: tuple[Path, ...] = ()

    def trusting_itself(self, environ: Mapping[str, str]) -> Destination:
        """With the signing key's public half where no `public-keys` are given. Reads the key if it is not in AWS."""
        if not self.key_source or self.key_source.is_in_aws:
            return self
        return self.trusting(str(self.key_source.read(environ).public))

    def trusting(self, public_key: str) -> Destination:
        """With this key where no `public-keys` are given; empty for none."""
        if self.public_keys or not public_key:
            return self
        return replace(self, public_keys=(keys.parse_public(public_key),))

    def doubts(self, public_key: str) -> str:
        """What is wrong with `public-keys`, if the cache is signed with the key of this public half; else empty."""
        if not public_key or not self.public_keys or public_key in map(str, self.public_keys):
            return ""
        return (
            f"public-keys do not hold the signing key's own public half, so Nix will take nothing of what is pushed "
            f"and build it again each time; add {public_key}"
        )

    def viewed(self, views: Iterable[Path], public_key: keys.PublicKey) -> Destination:
        """With these views, and the key that signed them: trusted whatever `public-keys` says."""
        return replace(self, views=tuple(views), public_keys=(*self.public_keys, public_key))

    @property
    def substituters(self) -> list[str]:
        """What Nix is to read beside the cache itself, or in its place."""
        return [of_directory(directory).substituter for directory in (self.views if self.unsigned else self.others)]

    def signing_key(self, environ: Mapping[str, str]) -> keys.KeySource:
        """The key as the uploader takes it: itself, or its name in AWS. Raises InputError as `KeySource.read`."""
        return self.key_source.resolved(environ)


def destination(settings: Settings, kept: EmbeddedCache) -> Destination:
    """The destination that the inputs name. Makes the embedded cache's key when it is first needed."""
    if settings.cache is None:
        return _embedded(settings, kept)
    return Destination(
        url=settings.cache, key_source=settings.signing_key, public_keys=settings.public_keys, embedded=False
    )


def claim(place: Destination) -> None:
    """Make a cache directory ours before a daemon sees it: Nix, only asked to read there, makes what is missing."""
    if place.url.scheme == "file":
        with suppress(OSError):  # the uploader will say it better
            make_directory(Path(place.url.path, "nar"), 0o755)


def _embedded(settings: Settings, kept: EmbeddedCache) -> Destination:
    public = _public_key(kept.key, settings) if kept.key else None
    return Destination(
        url=of_directory(kept.cache),
        key_source=settings.signing_key or (keys.KeySource.of_file(kept.key) if kept.key else keys.KeySource()),
        public_keys=settings.public_keys or ((public,) if public else ()),
        embedded=True,
        others=kept.others,
        unsigned=not settings.signing_key and kept.key is None,
    )


def _public_key(key: Path, settings: Settings) -> keys.PublicKey | None:
    """That of the embedded cache; the key is made when it is first needed."""
    if not settings.signing_key and not key.exists():
        _make_key(key)
    return keys.parse_public(key.with_suffix(".pub").read_text()) if key.exists() else None


def _make_key(path: Path) -> None:
    """Two jobs may come here at once: the first key stays."""
    make_directory(path.parent, 0o755)
    fresh = path.with_suffix(f".{os.getpid()}")
    # Nix keeps one key of a name, and a job may have to trust the keys of two such caches.
    write_atomically(fresh, str(keys.generate(f"nix-autocache-{os.urandom(4).hex()}-1")), 0o600)
    with suppress(FileExistsError):
        os.link(fresh, path)
    fresh.unlink()
    write_atomically(path.with_suffix(".pub"), str(keys.parse_secret(path.read_text()).public), 0o644)
