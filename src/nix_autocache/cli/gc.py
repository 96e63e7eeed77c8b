"""`nix-autocache gc`: delete from a cache what is no longer used, while others push to it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from ..errors import Error, InputError, one_line
from ..job.context import Context
from ..nix.store import Nix
from . import collectable, scope_names

if TYPE_CHECKING:
    import argparse

    from ..collecting.collector import Collector
    from ..collecting.mending import Elsewhere
    from ..collecting.policy_inputs import Policy
    from ..collecting.report import Report

_NOWHERE: Final = Nix(Path("/nonexistent"))  # nothing is asked of it
_UPSTREAM: Final = "https://cache.nixos.org"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `gc`, beside --json."""
    collectable.add_flags(parser)
    add = parser.add_argument
    add("--dry-run", action="store_true", help="say what would be deleted, and change nothing")
    add("--keep-days", metavar="DAYS", default="30", help="keep what was pushed or used in these days; default: 30")
    add("--keep-runs", metavar="COUNT", default="1", help="keep the newest runs of each job at any age; default: 1")
    add("--max-size", metavar="SIZE", help="as 500GB: delete what was unused for longest until the rest fits")
    add("--roots", metavar="FILE", help="keep these store paths, too, one a line")
    add("--at-most", metavar="SHARE", default="30%", help="of all bytes that may go at once; default: 30%%")
    add("--now", action="store_true", help="wait 15 minutes for jobs that push, and delete in this run")
    add("--alone", action="store_true", help="no other gc runs: needed where a store cannot keep two of them apart")
    scope_names.add_flag(parser)
    add("--check", action="store_true", help="only remove narinfos without their archive or references")
    text = "for --check: another cache that readers have, or none; may be repeated; default: cache.nixos.org"
    add("--upstream", metavar="URL", action="append", help=text)


def gc(context: Context, options: SimpleNamespace) -> None:
    """Collect, and show a table. Raises Error if something could not be done."""
    from ..collecting import scopes, table

    _require_sense(options)
    policy, context = _policy(options), collectable.with_flags(context, options)
    collector = _collector(context, policy, alone=options.alone)
    report = _run(context, options, collector)
    report.names = scopes.named(scope_names.scope_names(options)) if report.scopes else {}
    if options.json:
        print(json.dumps(table.as_json(report)))
    else:
        for line in table.lines(report):
            print(line)
    context.host.summarize(table.markdown(report))
    if report.refused and not report.dry_run:
        raise Error(f"gc: {'nothing was removed' if options.check else 'nothing was announced'}: {report.refused}")
    if report.failed:
        name, why = next(iter(report.failed.items()))
        raise Error(f"gc: {len(report.failed)} objects could not be deleted, such as {name}: {why}")


def _run(context: Context, options: SimpleNamespace, collector: Collector) -> Report:
    dry_run = options.dry_run or bool(context.settings.dry_run)
    if options.check:
        return collector.check(_elsewhere(context, options.upstream or [_UPSTREAM]), dry_run=dry_run)
    return collector.preview() if dry_run else collector.collect(now=options.now)


def _require_sense(options: SimpleNamespace) -> None:
    """Raises InputError for flags of which one would be ignored."""
    if options.upstream and not options.check:
        raise InputError("--upstream is for --check; without that, gc asks no other cache: leave it out")
    ignored = {"--now": options.now, "--max-size": options.max_size, "--roots": options.roots}
    for name in (name for name, given in ignored.items() if given and options.check):
        raise InputError(f"{name} has no effect with --check, which removes only what is not closed: leave one out")


def _policy(options: SimpleNamespace) -> Policy:
    """Raises InputError."""
    from ..collecting import flags
    from ..collecting.policy_inputs import Policy
    from ..collecting.roots import from_file

    given: list[str] = []
    if options.roots:
        try:
            given = from_file(Path(options.roots).read_text(encoding="utf-8", errors="replace"), options.roots)
        except OSError as error:
            raise InputError(f"--roots: {one_line(error)}") from None
    return Policy(
        keep_days=flags.days(options.keep_days, "--keep-days"),
        keep_runs=flags.count(options.keep_runs, "--keep-runs"),
        max_size=flags.size(options.max_size, "--max-size") if options.max_size else None,
        at_most=flags.share(options.at_most, "--at-most"),
        given=tuple(given),
    )


def _collector(context: Context, policy: Policy, *, alone: bool) -> Collector:
    from ..collecting.collector import Collector
    from ..collecting.lock import Clock
    from ..collecting.patient import Patient
    from ..job.report import PacedLines
    from ..uploader.doomed import since_boot

    cache = Patient(collectable.open_cache(context, "gc"))
    return Collector(cache, policy, Clock(since_boot, time.sleep), PacedLines(context.host), alone=alone)


def _elsewhere(context: Context, urls: list[str]) -> Elsewhere:
    from ..caches.opening import open_cache
    from ..caches.protocol import Access, PathCache
    from ..nix.store_url import parse_cache_url

    caches = []
    for text in urls:
        if text != "none":
            url = parse_cache_url(text, name="--upstream")
            cache = open_cache(url, Access(context.environ, _NOWHERE, None, anonymous=True))
            if isinstance(cache, PathCache):
                raise InputError(f"--upstream: {url.without_secrets} is no binary cache")
            caches.append(cache)
    return lambda name: any(cache.exists(name) for cache in caches)
