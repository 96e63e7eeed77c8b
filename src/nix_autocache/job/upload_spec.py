"""The spec that an uploader works by, made from a job's inputs and the secrets that were read for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..ci.lane import Lane
from ..nix import effective
from ..nix.store import Nix
from ..queue.directory import Queue
from ..system.dataclass import replace
from ..uploader.access import CacheAccess
from ..uploader.secrets import Secrets
from ..uploader.spec import UploadSpec
from . import hosts_cache
from .context import Context
from .destination import Destination

if TYPE_CHECKING:
    from .state import JobState


def of_job(context: Context, state: JobState, destination: Destination, secrets: Secrets) -> UploadSpec:
    """For what this job builds, with the run index of its lane."""
    make = _for_separate_user if state.separate_user else for_this_user
    spec = make(context, destination, secrets, state.nix, context.job.queue, state.began)
    return replace(spec, index=next(iter(indexes(context, destination)), ""))


def indexes(context: Context, destination: Destination) -> tuple[str, ...]:
    """The names of the run indexes that this job may read, its own first: none in a cache that is near, or that has an
    index itself."""
    row = destination.url.row
    lanes = context.host.lanes(context.settings.matrix) if row.read_by_proxy and not row.kept_by_host else None
    return tuple(each.index for each in lanes.all) if lanes else ()


def for_this_user(
    context: Context, destination: Destination, secrets: Secrets, nix: Nix, queue: Queue, began: int
) -> UploadSpec:
    """For an uploader of this user. `began` is in seconds since 1970."""
    spec = _spec(context, destination, secrets, nix, queue, began)
    if context.environ.get("NIX_REMOTE") == "daemon":  # root's Nix would take a store that is mounted read-only
        return replace(spec, access=replace(spec.access, environ={**spec.access.environ, "NIX_REMOTE": "daemon"}))
    return spec


def _for_separate_user(
    context: Context, destination: Destination, secrets: Secrets, nix: Nix, queue: Queue, began: int
) -> UploadSpec:
    """For an uploader of another user, which trusts only the keys that the machine trusts."""
    params = {name: value for name, value in destination.url.params.items() if name != "profile"}
    previous = destination.previous and replace(destination.previous, params=params)
    destination = replace(destination, url=replace(destination.url, params=params), previous=previous)
    spec = _spec(context, destination, secrets, nix, queue, began)
    return replace(spec, trusted=effective.trusted_keys(nix))


def _spec(
    context: Context, destination: Destination, secrets: Secrets, nix: Nix, queue: Queue, began: int
) -> UploadSpec:
    settings = context.settings
    return UploadSpec.of(
        settings,
        queue=queue.directory,
        roots=queue.roots,
        access=access(context, destination, secrets.environ, nix),
        elsewhere=destination.others,
        key=secrets.key,
        readers=destination.public_keys,
        dry_run=context.is_dry_run(destination),
        began=began,
        lane=_lane(context, destination),
    )


def _lane(context: Context, destination: Destination) -> Lane | None:
    """Whose run record is left; none in a cache that no collector is for, since its host or a rule deletes from it."""
    trimmed = destination.embedded and context.host.embedded_cache()
    if trimmed or destination.previous or destination.url.row.kept_by_host:
        return None
    lanes = context.host.lanes(context.settings.matrix)
    return lanes.own if lanes else Lane.of_machine()


def access(context: Context, destination: Destination, environ: Mapping[str, str], nix: Nix) -> CacheAccess:
    """The way to the cache with this job's credentials, of which `environ` are those in variables."""
    lanes = context.host.lanes(context.settings.matrix) if destination.url.row.kept_by_host else None
    return CacheAccess(
        url=destination.url,
        nix_bin=nix.bin,
        environ=environ,
        role=context.settings.aws_role,
        audience=context.settings.oidc_audience,
        identity=context.identity,
        lanes=lanes.all if lanes else (),
        size_limit=hosts_cache.size_limit(context.settings.cache_size, lanes) if lanes else 0,
        previous=destination.previous,
    )
