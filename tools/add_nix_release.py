"""Adds a release of Nix to the hashes that this program knows: `tools/add_nix_release.py VERSION [BASE]`.

It takes `<tarball>.sha256`, which its publisher keeps beside each tarball, for every system that we install Nix on.
BASE is the URL above `nix-VERSION/`, by default the publisher's. Only TLS vouches for what comes from there: compare
it with the hashes in the release's own install script before you commit it.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from nix_autocache.errors import Error, InputError
from nix_autocache.nix.install.release import (
    HASHES,
    PUBLISHER,
    SYSTEMS,
    known_hashes,
    parse_version,
    published_hash,
    tarball_name,
)


def published(version: str, base: str) -> dict[str, str]:
    """The hashes of a release, by the names of its tarballs. Raises Error if one cannot be had."""
    names = [tarball_name(version, system) for system in SYSTEMS]
    return {name: published_hash(f"{base.rstrip('/')}/nix-{version}/{name}", os.environ) for name in names}


def added(known: dict[str, str], found: dict[str, str]) -> str:
    """The text of the file with both, the newest release first. Raises InputError where they contradict each other."""
    for name, sha256 in found.items():
        if known.get(name, sha256) != sha256:
            raise InputError(f"{name}: its publisher says {sha256}, we know {known[name]}; find out who is right")
    rows = sorted({**known, **found}.items(), key=lambda row: (_version(row[0]), row[0]), reverse=True)
    return "".join(f"{sha256}  {name}\n" for name, sha256 in rows)


def _version(name: str) -> list[int]:
    """The numbers of the version in a tarball's name."""
    return [int(number) for number in re.findall(r"\d+", name.split("-")[1])]


def main(version: str, base: str = PUBLISHER, *, file: Path = HASHES) -> int:
    """Write the file, and say what is new. 1 if a hash could not be had; then nothing is written."""
    try:
        found = published(parse_version(version, "VERSION"), base)
        text = added(known_hashes(), found)
    except Error as error:
        print(f"add_nix_release: {error}", file=sys.stderr)
        return 1
    file.write_text(text, encoding="ascii")
    print("".join(f"{sha256}  {name}\n" for name, sha256 in found.items()), end="")
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        raise SystemExit("add_nix_release: VERSION [BASE], as in: tools/add_nix_release.py 2.35.2")
    raise SystemExit(main(sys.argv[1], *sys.argv[2:3]))
