"""Where a job's paths go, and who signs them: the inputs `cache`, `signing-key` and `public-keys`.

Without a `cache` it is the one that the CI host keeps for the repository, see `hosts_cache`, or else the embedded
default: a directory that the CI host or the user keeps. The user's has a key beside it, which `make_key` makes when it
is first needed. What the host keeps has no key: its paths carry no signature, and each job's Nix reads them through a
read proxy that signs them with a key of this job.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..ci.host import EmbeddedCache
from ..nix import keys
from ..nix.key_source import KeySource
from ..nix.store_url import CacheUrl, of_directory
from ..settings import Settings
from ..system.dataclass import dataclass, replace
from ..system.files import make_directory, write_atomically


@dataclass(frozen=True, kw_only=True)
class Destination:
    """`key_source` is read only by `signing_key`, or by the uploader if the key is in AWS.

    `others` are directories with caches that are only read; what is in them is not pushed again. With `unsigned`, the
    paths carry no signature, and Nix reads all of these through our proxy, which signs with `job_key`, or not at all.
    `previous` is the cache of the period before, which is only read; what is used of it is pushed to this one.
    """

    url: CacheUrl
    key_source: KeySource
    public_keys: tuple[keys.PublicKey, ...]
    embedded: bool
    others: tuple[Path, ...] = ()
    previous: CacheUrl | None = None
    unsigned: bool = False
    job_key: keys.SecretKey | None = None

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

    def with_job_key(self) -> Destination:
        """With a key of this job if the paths carry no signature; it is trusted whatever `public-keys` says."""
        if not self.unsigned:
            return self
        key = keys.generate_job_key()
        return replace(self, job_key=key, public_keys=(*self.public_keys, key.public))

    @property
    def is_keyless_scope(self) -> bool:
        """True for a cache of the host's without a signing key: there is none to take, and the host keeps what each
        ref writes apart."""
        return self.unsigned and self.url.row.kept_by_host

    @property
    def wants_read_proxy(self) -> bool:
        """Whether Nix reads the cache better through our proxy than by itself."""
        return self.url.wants_reader or self.unsigned or self.previous is not None

    @property
    def is_read_by_nix(self) -> bool:
        """Whether Nix can read the cache without our proxy."""
        return self.url.is_read_by_nix and not self.unsigned

    @property
    def is_unverified(self) -> bool:
        """Whether the read proxy of a cache of the host's, which passes on only what it can verify, lacks the key."""
        return self.url.row.kept_by_host and self.key_source.is_in_aws and not self.public_keys

    @property
    def without_read_proxy(self) -> str:
        """What then happens, as a sentence."""
        text = "Nix reads the cache by itself" if self.is_read_by_nix else "Nix does not read the cache"
        return f"{text}, and what it takes from {self.previous} is not carried over" if self.previous else text

    @property
    def substituters(self) -> list[str]:
        """What Nix reads by itself, beside the cache."""
        return [] if self.unsigned else [of_directory(directory).substituter for directory in self.others]

    @property
    def directories(self) -> tuple[Path, ...]:
        """The caches that are directories of this machine, in the order in which they are read."""
        return (*self.others, *filter(None, [self.url.directory]))


def destination(cache: CacheUrl | None, settings: Settings, embedded: EmbeddedCache) -> Destination:
    """Where paths go: to `cache`, or without one to the embedded default. Changes nothing."""
    if cache:
        has_key = bool(settings.signing_key or settings.public_keys)  # with a public one, others sign
        return Destination(
            url=cache,
            key_source=settings.signing_key,
            public_keys=settings.public_keys,
            embedded=False,
            unsigned=cache.row.kept_by_host and not has_key,
        )
    key = embedded.key
    public = _public_key(key) if key else None
    return Destination(
        url=of_directory(embedded.cache),
        key_source=settings.signing_key or (KeySource.of_file(key) if key else KeySource()),
        public_keys=settings.public_keys or ((public,) if public else ()),
        embedded=True,
        others=embedded.others,
        unsigned=not settings.signing_key and key is None,
    )


def claim(destination: Destination) -> None:
    """Make a cache directory ours before a daemon sees it: Nix, only asked to read there, makes what is missing."""
    if directory := destination.url.directory:
        with suppress(OSError):  # the uploader will say it better
            make_directory(directory / "nar", 0o755)


def make_key(destination: Destination, settings: Settings, embedded: EmbeddedCache) -> Destination:
    """The same destination, with the embedded cache's own key made if it is needed and missing."""
    key = embedded.key
    if not destination.embedded or settings.signing_key or key is None:
        return destination
    if not key.exists():
        _make_secret_key(key)
    if not _public_file(key).exists():
        write_atomically(_public_file(key), str(keys.parse_secret(key.read_text()).public), 0o644)
    return replace(destination, public_keys=settings.public_keys or tuple(filter(None, [_public_key(key)])))


def _public_key(key: Path) -> keys.PublicKey | None:
    """The public half of an embedded cache's key, once it was made."""
    return keys.parse_public(_public_file(key).read_text()) if _public_file(key).exists() else None


def _public_file(key: Path) -> Path:
    return key.with_suffix(".pub")


def _make_secret_key(path: Path) -> None:
    """Two jobs may come here at once: the first key stays."""
    make_directory(path.parent, 0o755)
    fresh = path.with_suffix(f".{os.getpid()}")
    # Nix keeps one key of a name, and a job may have to trust the keys of two such caches.
    write_atomically(fresh, str(keys.generate(f"nix-autocache-{os.urandom(4).hex()}-1")), 0o600)
    with suppress(FileExistsError):
        os.link(fresh, path)
    fresh.unlink()
