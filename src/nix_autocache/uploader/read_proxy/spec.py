"""What the read proxy needs, in one value. It may hold credentials, and no signing key but that of one job."""

from __future__ import annotations

from pathlib import Path

from ...nix.keys import PublicKey, SecretKey
from ...system.dataclass import dataclass
from ..access import CacheAccess
from .address import Address


@dataclass(frozen=True, kw_only=True)
class ReadSpec:
    """At `address` Nix reads the cache of `access`.

    `indexes` are the names of run indexes in the cache, the job's own first. Of them nothing is served without a
    signature by one of the keys in `trusted`. A cache that has an index itself is not served without one either. With a
    `job_key` its paths carry none, and that key signs them, which only this job's Nix trusts. With `directories`, it is
    not `access` that is read, but the embedded caches there, the most important first.
    """

    address: Address
    access: CacheAccess
    trusted: tuple[PublicKey, ...] = ()
    indexes: tuple[str, ...] = ()
    directories: tuple[Path, ...] = ()
    job_key: SecretKey | None = None
