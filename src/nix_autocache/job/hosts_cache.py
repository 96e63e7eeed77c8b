"""The cache that the CI host keeps for a job's repository: the default where this step can reach it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..ci.host import Host
from ..ci.lane import Lanes
from ..errors import InputError
from ..nix.store_url import CacheUrl, of_scheme
from ..schemes.table import given_by_host

_OF_DEFAULT_BRANCH: Final = 5000  # megabytes: GitHub keeps 10 GB for a repository, which other actions use, too
_OF_OTHERS: Final = 1000


def default(host: Host, environ: Mapping[str, str]) -> CacheUrl | None:
    """None where the host keeps no cache, or does not let this step use it."""
    row = given_by_host(environ)
    return of_scheme(row) if row and host.repository_cache() and host.lanes("") else None


def check(url: CacheUrl, host: Host, environ: Mapping[str, str]) -> None:
    """Raise InputError for a cache of the host's that this step cannot reach."""
    row = url.row
    if not row.kept_by_host:
        return
    if host.repository_cache() is None:
        where = "here" if host.name == "local" else f"on {host.name}"
        raise InputError(f"cache: {url} is kept by GitHub for the jobs of a repository; {where}, take another cache")
    if given_by_host(environ) is not row:
        assert row.credentials, "they are the host's"
        names = " nor ".join(row.credentials.sufficient)
        raise InputError(
            f"cache: {url} can be reached by the steps of an action (`uses:`) only, if the runner has such a cache, "
            f"and here is neither {names}; take another cache, or leave this to the action, which pushes all builds"
        )
    if host.lanes("") is None:
        raise InputError(
            f"cache: {url} keeps apart what branches wrote, and this job's event names none (GITHUB_REF and "
            "GITHUB_REPOSITORY); take another cache, or none, which is then a directory"
        )


def size_limit(megabytes: int | None, lanes: Lanes) -> int:
    """In bytes, for the scope of this job's branch; `megabytes` is the input, None by default."""
    return (megabytes or (_OF_DEFAULT_BRANCH if lanes.is_default else _OF_OTHERS)) * 10**6
