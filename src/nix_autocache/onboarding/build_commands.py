"""The commands that build what a repository has, for the job that `init` writes."""

from __future__ import annotations

import re
from typing import Final

from ..system.dataclass import dataclass
from .repository import Files

_FLAKE: Final = (  # what a flake's text mentions, and what builds it
    (re.compile(r"\b(?:packages|defaultPackage)\b"), "nix build --print-build-logs --no-link"),
    (re.compile(r"\bchecks\b"), "nix flake check --print-build-logs"),
    (re.compile(r"\bdevShells?\b"), "nix develop --command true"),
)
_CHANNEL: Final = "nixpkgs=channel:nixos-unstable"


@dataclass(frozen=True)
class BuildCommands:
    """Commands of a shell, in order; none if the repository has nothing that Nix builds. `nix_path` is the setting of
    that name that they need, or nothing; `files` are those that they were made for."""

    commands: tuple[str, ...]
    files: tuple[str, ...]
    nix_path: str = ""


def find(repository: Files) -> BuildCommands:
    """The commands for `flake.nix`, or else for `default.nix` and `shell.nix`: beside a flake these often only name
    it once more. Raises Error if the repository does not let us look."""
    names = repository.names()
    if "flake.nix" in names:
        text = repository.read("flake.nix") or ""
        found = tuple(command for mentioned, command in _FLAKE if mentioned.search(text))
        return BuildCommands(found or ("nix flake check --print-build-logs",), ("flake.nix",))
    plain = {"default.nix": "nix-build --no-out-link", "shell.nix": "nix-shell --run true"}
    files = tuple(name for name in plain if name in names)
    needs_channel = any("<nixpkgs>" in (repository.read(name) or "") for name in files)
    return BuildCommands(tuple(plain[name] for name in files), files, _CHANNEL if needs_channel else "")
