"""`nix-autocache stats`: what is in a cache, by project and branch."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from ..job.context import Context
from ..system import process
from .collectable import open_cache, with_flags

if TYPE_CHECKING:
    import argparse

_TIMEOUT: Final = 20.0  # seconds
_REMOTE: Final = re.compile(r"(?:[a-z+]+://)?(?:[^@/]*@)?([A-Za-z0-9.-]+)(?::[0-9]+)?[:/]+(\S+?)(?:\.git)?/?")
_REF: Final = re.compile(r"[0-9a-f]+\s+(refs/\S+)")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `stats`, beside those of the cache and --json."""
    text = "show this branch by its name, as github.com/acme/project/main; those of this repository are known"
    parser.add_argument("--scope", metavar="NAME", nargs="+", action="extend", default=[], help=text)


def stats(context: Context, options: SimpleNamespace) -> None:
    """Print what is in the cache. Raises InputError, CacheError and CacheBusy."""
    from ..collecting import stats

    cache = open_cache(with_flags(context, options), "stats")
    found = stats.stats(cache, [*options.scope, *_scopes_here()], context.host.info)
    if options.json:
        print(json.dumps(stats.as_json(found)))
        return
    for line in stats.lines(found, time.time()):
        print(line)


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
