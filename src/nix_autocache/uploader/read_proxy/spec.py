"""What the read proxy needs, in one value. It may hold credentials, and never a signing key of anybody."""

from __future__ import annotations

from dataclasses import dataclass

from ...nix.keys import PublicKey
from ..access import CacheAccess
from .address import Address


@dataclass(frozen=True, kw_only=True)
class ReadSpec:
    """At `address` Nix reads the cache of `access`.

    `indexes` are the names of run indexes in the cache, the job's own first. Of them nothing is served without a
    signature by one of the keys in `trusted`.
    """

    address: Address
    access: CacheAccess
    trusted: tuple[PublicKey, ...] = ()
    indexes: tuple[str, ...] = ()
