"""The spec that the read proxy works by: with the uploader's way to the cache, or with one for reading only."""

from __future__ import annotations

from ..nix.key_source import KeySource
from ..nix.store import Nix
from ..system.dataclass import replace
from ..trust import metadata
from ..uploader.access import CacheAccess
from ..uploader.environment import public_environment, relevant_environment
from ..uploader.read_proxy.spec import ReadSpec
from ..uploader.spec import UploadSpec
from . import upload_spec
from .context import Context
from .destination import Destination
from .state import JobState


def of(context: Context, state: JobState, destination: Destination, upload: UploadSpec | None) -> ReadSpec | None:
    """None where Nix reads the cache by itself. Without `upload` nothing is pushed."""
    if state.reader is None:
        return None
    shared = upload is not None and not upload.dry_run
    ours = upload.key.public_key if upload else None
    return ReadSpec(
        address=state.reader,
        access=upload.access if upload and shared else _access(context, state, destination),
        trusted=(*destination.public_keys, *([ours] if ours else []), *context.settings.upstream_keys),
        indexes=upload_spec.indexes(context, destination),
        directories=destination.directories if destination.job_key else (),
        job_key=destination.job_key,
    )


def _access(context: Context, state: JobState, destination: Destination) -> CacheAccess:
    trusted = context.host.event().origin == "own" and not state.separate_user
    return access_for_reading(context, destination, state.nix, trusted=trusted)


def access_for_reading(context: Context, destination: Destination, nix: Nix, *, trusted: bool) -> CacheAccess:
    """With the credentials that the job has for reading, if its code is trusted with them and they are still there.

    Where neither the job nor the machine has any, the cache is asked without.
    """
    of_host = destination.url.row.variables_of_host
    environ = relevant_environment(context.environ, destination.url.row)
    if not trusted:  # the host gives those of its own cache to every action of the job, whoever wrote its code
        given = {name: value for name, value in environ.items() if name.startswith(of_host)}
        environ = {**public_environment(context.environ), **given}
    access = upload_spec.access(context, destination, environ, nix)
    if not trusted:
        access = replace(access, role="", identity=None)
    usable = _has_credentials(context, access) and (trusted or bool(of_host))
    return replace(access, anonymous=not usable and _machine_has_none(access))


def _has_credentials(context: Context, access: CacheAccess) -> bool:
    lacks_token = bool(access.role) and not access.identity
    return context.has_access(access.url) and not lacks_token


def _machine_has_none(access: CacheAccess) -> bool:
    """Whether the cache needs credentials and this machine gives none to each of its processes."""
    clouds = metadata.clouds(access.url, KeySource(), access.environ)
    return access.url.row.credentials is not None and not metadata.answering(clouds, access.environ)
