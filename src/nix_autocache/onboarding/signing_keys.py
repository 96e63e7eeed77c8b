"""Which signing key a repository has, and which public keys its jobs trust. No service is asked here.

The variable NIX_CACHE_PUBLIC_KEYS holds the public keys. The first is that of the key that signs; the others are older
ones, whose signatures the cache still has, or the user's own. Nix keeps one key for each name, so a new key always
gets a new name, with the next number.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from ..nix import keys
from ..nix.keys import PublicKey, SecretKey
from ..system.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class KeyPlan:
    """`new` is the key to store, or None if the one that is there stays. `trusted` is what the variable becomes.

    `first` is what the variable holds before the key is replaced: nothing may be signed by a key that is not trusted.
    It is empty where no key is replaced.
    """

    new: SecretKey | None
    trusted: tuple[PublicKey, ...]
    first: tuple[PublicKey, ...] = ()
    notes: tuple[str, ...] = ()


def made(wanted: str, known: Sequence[PublicKey]) -> KeyPlan:
    """The first key, beside public keys that are known already."""
    new = keys.generate(_next_name(wanted, known))
    return KeyPlan(new=new, trusted=_distinct(new.public, *known))


def kept(current: PublicKey, known: Sequence[PublicKey]) -> KeyPlan:
    return KeyPlan(new=None, trusted=_distinct(current, *known))


def replaced(wanted: str, known: Sequence[PublicKey], cache: str, source: str) -> KeyPlan:
    """A new key beside those that are known, of which the first signs until now. `source` says where the new one is,
    as the input `signing-key` is written."""
    new = keys.generate(_next_name(wanted or known[0].name, known))
    old = known[0]
    where = " in a job, since only jobs get the secret," if source.startswith("env:") else ""
    note = (
        f"{old.name} stays trusted. It may go when nothing in the cache depends on it: after `nix-autocache sign "
        f"--cache {shlex.quote(cache)} --signing-key {source} --old-key {old}`{where} or when all paths have been "
        "pushed again. Then remove it from the variable NIX_CACHE_PUBLIC_KEYS"
    )
    return KeyPlan(new=new, trusted=_distinct(new.public, *known), first=_distinct(*known, new.public), notes=(note,))


def newer(than: PublicKey, known: Sequence[PublicKey]) -> tuple[PublicKey, ...]:
    """Keys of the same name with a higher number."""
    base, number = _parts(than.name)
    return tuple(key for key in known if _parts(key.name)[0] == base and _parts(key.name)[1] > number)


def _next_name(wanted: str, known: Sequence[PublicKey]) -> str:
    """`wanted`, or it with the number after the highest that is known."""
    base, number = _parts(wanted)
    used = [_parts(key.name)[1] for key in known if _parts(key.name)[0] == base]
    if not used:
        return wanted
    return f"{base}-{max(number, max(used) + 1)}"


def _parts(name: str) -> tuple[str, int]:
    """Name and number of NAME-NUMBER; 0 for a name without."""
    found = re.fullmatch(r"(.+)-(\d{1,9})", name)
    return (found[1], int(found[2])) if found else (name, 0)


def _distinct(*found: PublicKey) -> tuple[PublicKey, ...]:
    return tuple(dict.fromkeys(found))
