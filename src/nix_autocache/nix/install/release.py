"""Releases of Nix: which tarball to install, and the sha256 that it must have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ...errors import InputError, RunnerError

PINNED_NIX: Final = "2.34.7"
_PUBLISHER: Final = "https://releases.nixos.org/nix"
_MACHINES: Final = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}

# Each was found in two independent public sources.
_SHA256: Final = {
    "nix-2.34.7-x86_64-linux": "eafe5042404e818505e28c5ca3d0885f3ec45c31f955489a25bb38258f87560e",
    "nix-2.34.7-aarch64-linux": "f1cee64ae7a02330c6421924c28f597c41813f2214ff108622087d8056378b08",
    "nix-2.34.8-x86_64-linux": "2c2e146b80834fe0ca201b51deeb939405b4f18e8d2071bf80b10f8123c50464",
}


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
    name = f"nix-{version}-{_machine()}-linux"
    url = f"{_PUBLISHER}/nix-{version}/{name}.tar.xz"
    return Release(url, sha256 or _SHA256.get(name, "") or _published(url, environ))


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


def _published(url: str, environ: Mapping[str, str]) -> str:
    """The hash that is published beside the tarball. Only TLS and the publisher vouch for it."""
    from . import download

    words = download.text(f"{url}.sha256", environ).split()
    if not words or not re.fullmatch(r"[0-9a-f]{64}", words[0]):
        raise InputError(f"nix-sha256: {url}.sha256 has no hash; give it, or another nix-version")
    return words[0]
