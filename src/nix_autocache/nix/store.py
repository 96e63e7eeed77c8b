"""Store paths, what Nix's database has of them, and one Nix installation with its store.

To ask Nix for the `PathInfo` of a path, use `store_client.StoreClient`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Final

from ..errors import InputError
from ..system import process
from ..system.dataclass import dataclass

HASH_PART: Final = 32  # characters of a store path's hash
BASE_NAME: Final = re.compile(r"[0-9abcdfghijklmnpqrsvwxyz]{32}-[0-9a-zA-Z+._?=-]{1,211}")
"""The last component of a store path: hash and name."""
_OUTPUT: Final = re.compile(r'\("[^"]+","([^"]+)","[^"]*","[^"]*"')
_LINKS: Final = 40  # one after the other, as many as the kernel follows
_OUTPUTS: Final = 1 << 20  # bytes at the beginning of a derivation, where its outputs are


class StorePath(str):
    """A store path in full, `/nix/store/<32 characters of hash>-<name>`. Made by `parse_store_path`."""

    __slots__ = ()

    @property
    def base(self) -> str:
        return self.rpartition("/")[2]

    @property
    def hash_part(self) -> str:
        return self.base[:HASH_PART]

    @property
    def name(self) -> str:
        return self.base[HASH_PART + 1 :]


def parse_store_path(text: str, store_dir: str) -> StorePath:
    """Parse a full store path. Raises ValueError for anything else, also for a path inside a store path."""
    directory, _, base = text.rpartition("/")
    if directory != store_dir or not BASE_NAME.fullmatch(base):
        raise ValueError(f"{text!r} is not a path in {store_dir}")
    return StorePath(text)


def store_path_of(data: bytes, store_dir: str) -> StorePath | None:
    """The store path that is written in `data`; None if it is not one."""
    with suppress(ValueError):
        return parse_store_path(data.decode("latin-1"), store_dir)
    return None


@dataclass(frozen=True, slots=True)
class PathInfo:
    """A valid path in Nix's database. `nar_size` is in bytes, `nar_hash` is `sha256:` and base 32.

    `registered` is the time when it became valid, in seconds since 1970. `ultimate`: it was built on this machine.
    """

    path: StorePath
    deriver: str
    references: tuple[StorePath, ...]
    nar_hash: str
    nar_size: int
    ca: str
    signatures: tuple[str, ...]
    registered: int = 0
    ultimate: bool = False


@dataclass(frozen=True)
class Nix:
    """A Nix on this machine: the directory of its programs, and its store."""

    bin: Path
    store_dir: str = "/nix/store"

    def program(self, name: str) -> str:
        return str(self.bin / name)

    def version(self) -> str:
        """Such as 2.34.7; empty if `nix-store` does not run."""
        return process.run([self.program("nix-store"), "--version"]).output.strip().rpartition(" ")[2]

    def store_paths(self, paths: Iterable[str]) -> list[StorePath]:
        """Resolve paths and links to store paths. Raises InputError for a path outside the store."""
        found = []
        for path in paths:
            inside = self._followed(path).removeprefix(f"{self.store_dir}/").partition("/")[0]
            try:
                found.append(parse_store_path(f"{self.store_dir}/{inside}", self.store_dir))
            except ValueError:
                raise InputError(f"{path} is not in {self.store_dir}, nor a link into it") from None
        return found

    def _followed(self, path: str) -> str:
        """Follow links into the store, and no further: a store path can be a link to another one.

        As Nix does, `..` takes back what is written before it, also where that is a link.
        """
        followed = os.path.abspath(path)
        for _ in range(_LINKS):
            if followed.startswith(f"{self.store_dir}/"):
                break
            link = next(filter(os.path.islink, accumulate(followed.split("/"), "{}/{}".format)), "")
            if not link:
                break
            rest = followed.removeprefix(link)
            followed = os.path.abspath(f"{os.path.join(os.path.dirname(link), os.readlink(link))}{rest}")
        return followed

    def outputs(self, derivation: StorePath) -> list[StorePath]:
        """A derivation's outputs, read from its file: Nix 2.8 does not pass them to the hook (NixOS/nix#6446).

        Empty if the derivation is gone. Format: Eelco Dolstra's thesis, figure 5.8 (the .drv's ATerm).
        """
        try:
            with open(derivation, "rb") as file:
                beginning = file.read(_OUTPUTS).decode("utf-8", "replace")
        except OSError:
            return []
        found = _OUTPUT.findall(beginning[: beginning.find(")],[")])
        return [path for text in found if (path := store_path_of(text.encode(), self.store_dir))]
