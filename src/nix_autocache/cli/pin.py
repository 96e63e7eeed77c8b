"""`nix-autocache pin`, `unpin` and `pins`: what the collector of a cache keeps under a name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING

from ..errors import InputError
from ..job.context import Context
from ..nix.find import find_nix
from ..nix.store import BASE_NAME, StorePath
from .collectable import open_cache, with_flags

if TYPE_CHECKING:
    import argparse


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `pin`."""
    parser.add_argument("name", metavar="NAME", help="of the pin, as release-1.0")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a store path that is in the cache, or a link to one")
    text = "keep each revision for so long; default: until it is unpinned or replaced"
    parser.add_argument("--keep-days", metavar="DAYS", help=text)
    text = "how many of the paths that were pinned under this name one after the other are kept; default: 1"
    parser.add_argument("--keep-revisions", metavar="COUNT", default="1", help=text)


def pin(context: Context, options: SimpleNamespace) -> None:
    """Pin paths. Raises InputError and what `collecting.pins.pin` raises."""
    from ..collecting import pins

    bases = [_base(context, text) for text in options.paths]
    days = _count(options.keep_days, "--keep-days") if options.keep_days else None
    revisions = _count(options.keep_revisions, "--keep-revisions")
    cache = open_cache(with_flags(context, options), "pin")
    made = pins.pin(cache, options.name, bases, keep_revisions=revisions, keep_days=days)
    print(f"{options.name}: {' '.join(bases)}; {len(made.revisions)} of at most {revisions} revisions")


def unpin(context: Context, options: SimpleNamespace) -> None:
    """Remove a pin."""
    from ..collecting import pins

    if why := pins.unpin(open_cache(with_flags(context, options), "pin"), options.name):
        context.host.info(f"{options.name} keeps nothing any more; its object stays, since it cannot be deleted: {why}")


def pins(context: Context, options: SimpleNamespace) -> None:
    """List what is pinned."""
    from ..caches.run_record import DAY
    from ..collecting import pins as listing

    rows = [
        {
            "name": name,
            "pinned": _date(revision.at),
            "until": _date(revision.at + pin.keep_days * DAY) if pin.keep_days else None,
            "paths": list(revision.bases),
        }
        for name, pin in listing.pins(open_cache(with_flags(context, options), "pin")).items()
        for revision in pin.kept(datetime.now(UTC).timestamp())
    ]
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['name']:<24} {row['pinned']}  {row['until'] or 'until unpin':<11}  {' '.join(row['paths'] or ())}")


def _base(context: Context, text: str) -> str:
    """The base name of a store path, which need not be on this machine. Raises InputError."""
    if BASE_NAME.fullmatch(base := StorePath(text.rstrip("/")).base) and text.startswith("/"):
        return base
    nix = find_nix(context.environ)
    if nix is None:
        raise InputError(f"{text} is no store path; give one, as /nix/store/…-hello")
    return nix.store_paths([text])[0].base


def _count(text: str, name: str) -> int:
    from ..collecting import flags

    if not (count := flags.count(text, name)):
        raise InputError(f"{name}: at least 1; unpin removes a pin")
    return count


def _date(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d")
