"""The names of branches that `gc` and `stats` show: those that are given, and those of the repository here."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from ..system import process

if TYPE_CHECKING:
    import argparse

_TIMEOUT: Final = 20.0  # seconds
_REMOTE: Final = re.compile(r"(?:[a-z+]+://)?(?:[^@/]*@)?([A-Za-z0-9.-]+)(?::[0-9]+)?[:/]+(\S+?)(?:\.git)?/?")
_REF: Final = re.compile(r"[0-9a-f]+\s+(refs/\S+)")


def add_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that gives names."""
    text = "show this branch by its name, as github.com/acme/project/main; those of this repository are known"
    parser.add_argument("--scope", metavar="NAME", nargs="+", action="extend", default=[], help=text)


def scope_names(options: SimpleNamespace) -> list[str]:
    """As `collecting.scopes` takes them. Asks the remote of a Git repository in this directory for its branches."""
    return [*options.scope, *_scopes_here()]


def _scopes_here() -> list[str]:
    """The branches of the Git repository in this directory; none without one."""
    remote = _git("config", "--get", "remote.origin.url").strip()
    match = _REMOTE.fullmatch(remote)
    if not match:
        return []
    project = f"{match[1]}/{match[2]}"
    return [f"{project}/{ref}" for ref in _REF.findall(_git("ls-remote", remote))]


def _git(*words: str) -> str:
    """What git prints; empty if it fails, asks for a password, or takes too long."""
    environ = process.inherited() | {"GIT_TERMINAL_PROMPT": "0"}
    try:
        return process.run(["git", *words], environ=environ, cwd=str(Path.cwd()), timeout=_TIMEOUT).output
    except (OSError, process.TimeoutExpired):
        return ""
