"""`nix-autocache stats`: what is in a cache, by project and branch."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

from ..job.context import Context
from .collectable import open_cache, with_flags
from .scope_names import add_flag, scope_names

if TYPE_CHECKING:
    import argparse


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `stats`, beside those of the cache and --json."""
    add_flag(parser)


def stats(context: Context, options: SimpleNamespace) -> None:
    """Print what is in the cache. Raises InputError, CacheError and CacheBusy."""
    from ..collecting import stats

    cache = open_cache(with_flags(context, options), "stats")
    found = stats.stats(cache, scope_names(options), context.host.info)
    if options.json:
        print(json.dumps(stats.as_json(found)))
        return
    for line in stats.lines(found, time.time()):
        print(line)
