"""Releases of Nix: which tarball to install, and the sha256 that it must have.

The hashes that we know are in `releases.sha256`; `tools/add_nix_release.py` adds those of a release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ...errors import InputError, RunnerError
from ...system.dataclass import dataclass

PINNED_NIX: Final = "2.35.2"
PUBLISHER: Final = "https://releases.nixos.org/nix"
SYSTEMS: Final = ("x86_64-linux", "aarch64-linux")
"""Those that we install Nix on."""
HASHES: Final = Path(__file__).with_name("releases.sha256")
"""In the format of sha256sum(1). Each was found in two independent public sources."""
_MACHINES: Final = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


@dataclass(frozen=True)
class Release:
    """A tarball to install from, and the sha256 that it must have, in hexadecimal."""

    url: str
    sha256: str


def release(*, version: str, url: str, sha256: str, environ: Mapping[str, str]) -> Release:
    """The tarball at `url`, or else the publisher's for `version` and this machine.

    Its hash is `sha256`, or one known here, or the published one. Raises RunnerError for a machine that has no
    release, InputError if there is no hash.
    """
    if url:
        return Release(url, sha256)
    name = tarball_name(version, f"{_machine()}-linux")
    url = f"{PUBLISHER}/nix-{version}/{name}"
    return Release(url, sha256 or known_hashes().get(name, "") or published_hash(url, environ))


def tarball_name(version: str, system: str) -> str:
    return f"nix-{version}-{system}.tar.xz"


def known_hashes() -> dict[str, str]:
    """The hashes that we know, in hexadecimal, by the names of the tarballs."""
    lines = HASHES.read_text(encoding="ascii").splitlines()
    return {name: sha256 for sha256, name in map(str.split, lines)}


def parse_version(text: str, name: str) -> str:
    """Raises InputError naming input `name`."""
    if re.fullmatch(r"\d+\.\d", text):
        raise InputError(f"{name}: {text} is what YAML makes of {text}0; write it in quotes, and in full: '{text}0.0'")
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", text):
        raise InputError(f"{name}: {text!r} is not a Nix version such as {PINNED_NIX}")
    return text


def parse_tarball_url(text: str, name: str) -> str:
    """A URL, or nothing. Raises InputError naming input `name`."""
    if text and not re.fullmatch(r"(https?|file)://\S+", text):
        raise InputError(f"{name}: {text!r} is not an https://, http:// or file:// URL")
    return text


def _machine() -> str:
    import platform

    machine = platform.machine()
    if machine not in _MACHINES:
        raise RunnerError(f"there is no Nix release for {machine}; name one for it with `nix-url` and `nix-sha256`")
    return _MACHINES[machine]


def published_hash(url: str, environ: Mapping[str, str]) -> str:
    """The hash that is published beside the tarball `url`. Only TLS and the publisher vouch for it.

    Raises RunnerError if it cannot be fetched, InputError if it is no hash.
    """
    from . import download

    words = download.text(f"{url}.sha256", environ).split()
    if not words or not re.fullmatch(r"[0-9a-f]{64}", words[0]):
        raise InputError(f"nix-sha256: {url}.sha256 has no hash; give it, or another nix-version")
    return words[0]
