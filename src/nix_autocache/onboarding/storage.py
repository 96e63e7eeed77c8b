"""Where the paths go, as `init` makes it: the kinds of storage, and what each adds to the plan."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from ..errors import InputError
from ..nix.store_url import CacheUrl, parse_cache_url
from ..schemes.table import SCHEMES, scheme
from ..system.dataclass import dataclass, replace
from .cache_setup import CACHE, CacheSetup
from .hosts import Place
from .options import Options, Period
from .repository import Repository
from .steps import Step


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a kind of storage is planned from. Nothing below reads the environment itself."""

    options: Options
    place: Place
    repository: Repository
    environ: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Storage:
    """The steps that make it, in order, what jobs must be told of it, and lines that the plan begins with."""

    steps: tuple[Step, ...] = ()
    setup: CacheSetup
    notes: tuple[str, ...] = ()


def plan_storage(request: Request) -> Storage:
    """The storage for a request; the CI host's own cache needs no step. Raises Error.

    Without a cache in the flags, the one of an earlier `init` counts, so that nobody has to repeat it for `--undo` or
    `--rotate-key`.
    """
    cache = request.options.cache or _before(request.repository)
    if cache is None:
        _check_flags(request.options)
        return Storage(setup=CacheSetup(branches=request.options.branches))
    if not cache.row.init_storage:
        kinds = " and ".join(f"{name}://" for name, row in SCHEMES.items() if row.init_storage)
        raise InputError(
            f"--cache: init sets up {kinds}, or with no --cache the CI host's own; for {cache.scheme}:// set "
            "`cache` and its credentials in the workflow yourself, see docs/caches.md"
        )
    cache = _rotating(cache, request.options.rotate)
    request = replace(request, options=replace(request.options, cache=cache))
    storage: Storage = import_module(f".{cache.row.init_storage}", __package__).plan(request)
    return storage


def _check_flags(options: Options) -> None:
    """Raises InputError for a flag that would have no effect without a cache of one's own."""
    given = {
        "--credentials": options.credentials,
        "--key-name": options.key_name,
        "--key-in": options.key_in is not None,
        "--public": options.public,
        "--new-key": options.new_key,
        "--rotate-key": options.rotate_key,
        "--rotate": options.rotate,
    }
    if found := [flag for flag, value in given.items() if value]:
        raise InputError(f"{' and '.join(found)}: the CI host's own cache has no key and no access; give --cache")


def _rotating(cache: CacheUrl, rotate: Period | None) -> CacheUrl:
    """The cache as a throwaway one. Raises InputError if it is one of another period."""
    if rotate is None:
        return cache
    placeholder = f"{{{rotate}}}"
    if not cache.rotates:
        return replace(cache, path=f"{cache.path}/{placeholder}")
    if placeholder not in cache.path:
        raise InputError(f"--rotate {rotate}: {cache.without_params} has another period; give --cache without it")
    return cache


def _before(repository: Repository) -> CacheUrl | None:
    """The cache in the repository's variable, if it is one that `init` sets up."""
    text = repository.variable(CACHE) or ""
    is_ours = scheme(text.partition("://")[0]).init_storage
    return parse_cache_url(text, name=f"the variable {CACHE}") if is_ours else None
