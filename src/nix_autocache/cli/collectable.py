"""The cache that `gc`, `pin`, `unpin`, `pins` and `stats` work on: one that can be listed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from ..errors import InputError
from ..job.context import Context
from ..nix.find import find_nix
from ..nix.store import Nix
from ..system.dataclass import replace

if TYPE_CHECKING:
    import argparse

    from ..caches.protocol import Collectable

_NOWHERE: Final = Nix(Path("/nonexistent"))  # nothing is asked of it


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags that say which cache it is."""
    add = parser.add_argument
    add("--cache", metavar="URL", help="s3://, gs://, az:// or a directory; default: NIX_AUTOCACHE_CACHE")
    add(
        "--aws-role",
        metavar="ARN",
        help="a role; for gc one that may delete; default: NIX_AUTOCACHE_AWS_ROLE",
    )


def with_flags(context: Context, options: SimpleNamespace) -> Context:
    """The inputs are those of the environment; raises InputError for a bad flag."""
    from ..nix.store_url import parse_cache_url

    settings = context.settings
    cache = parse_cache_url(options.cache) if options.cache else settings.cache
    return replace(context, settings=replace(settings, cache=cache, aws_role=options.aws_role or settings.aws_role))


def open_cache(context: Context, verb: str) -> Collectable:
    """The cache. Raises InputError for one that cannot be collected."""
    from ..caches.protocol import Collectable, PathCache
    from ..job import upload_spec
    from ..nix.key_source import KeySource
    from ..uploader.secrets import SecretSources

    url = context.settings.cache
    if url is None:
        raise InputError(f"{verb} needs --cache, the URL of a bucket or a directory")
    if url.rotates:
        raise InputError(f"cache: {url.without_secrets} is deleted by a lifecycle rule; gc is not needed there")
    if url.row.kept_by_host:
        raise InputError(f"cache: {url.without_secrets} deletes what is old by itself; gc is not needed there")
    secrets = SecretSources(url, KeySource(), context.environ).read()
    access = upload_spec.access(context, context.destination(), secrets.environ, find_nix(context.environ) or _NOWHERE)
    cache = access.open()
    if isinstance(cache, PathCache):
        raise InputError(
            f"cache: {url.without_secrets} is a store that only Nix writes; collect it with nix-collect-garbage there"
        )
    if not isinstance(cache, Collectable):
        raise InputError(
            f"cache: {url.without_secrets} cannot be listed; collect the bucket or directory behind it: "
            "s3://, gs://, az:// or file://"
        )
    return cache
