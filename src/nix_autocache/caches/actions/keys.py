"""The keys of our entries in the Actions cache. Another version of their format has another `s1`.

A pack's key says who wrote it, so that the newest of a lane, or of all lanes of a branch and system, is found by the
beginning of the key. It ends in random digits: act has no branches, and its runs all have the number 1. The key of a
big archive is its content's name, so that all who build it share it. No capitals and no commas: servers change them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Final

from ...ci.lane import Lane
from ...system.dataclass import dataclass

_ROOT: Final = "nix-autocache/s1/"
_TAIL: Final = "[0-9a-z-]{1,48}"
_PACK: Final = re.compile(rf"{_ROOT}([0-9a-f]{{16}})/[0-9a-z_-]{{1,40}}/([0-9a-f]{{8}})/({_TAIL})")
_BIG: Final = re.compile(rf"{_ROOT}(nar/[0-9a-z][0-9a-z._=-]{{0,99}})(?:~[1-9])?")
_NO_NUMBER: Final = re.compile(r"[^0-9]")
VARIANTS: Final = 10  # keys for a big archive: further ones for when an upload never ended


@dataclass(frozen=True)
class PackKey:
    """What the key of a pack says; `tail` is what no other has."""

    scope: str
    lane: str
    tail: str


def parse_pack(key: str) -> PackKey | None:
    found = _PACK.fullmatch(key)
    return PackKey(*found.groups()) if found else None


def archive_of(key: str) -> str:
    """The name of the archive that is this entry; empty if it is none."""
    found = _BIG.fullmatch(key)
    return found[1] if found else ""


def is_entry(key: str) -> bool:
    return bool(_PACK.fullmatch(key) or _BIG.fullmatch(key))


def keys_of_archive(name: str) -> list[str]:
    """The keys that a big archive may have, the usual one first."""
    return [f"{_ROOT}{name}", *(f"{_ROOT}{name}~{number}" for number in range(1, VARIANTS))]


@dataclass(frozen=True)
class Place:
    """A lane's part of the cache. `system` is the machine's, as `x86_64-linux`."""

    lane: Lane
    system: str

    @property
    def of_all_lanes(self) -> str:
        """What the keys of this branch and system begin with."""
        return f"{_ROOT}{self.lane.scope}/{self.system}/"

    @property
    def own(self) -> str:
        return f"{self.of_all_lanes}{self.lane.lane}/"

    def new_key(self, environ: Mapping[str, str]) -> str:
        """A key for a pack, which no other has. `environ` names the run."""
        run, attempt = (
            _NO_NUMBER.sub("", environ.get(name, ""))[:16] or "0" for name in ("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT")
        )
        return f"{self.own}{run}-{attempt[:4]}-{secrets.token_hex(8)}"
