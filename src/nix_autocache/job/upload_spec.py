"""What an uploader is told of a job, from the inputs: its paths, its cache, its secrets."""

from __future__ import annotations

from dataclasses import replace

from ..nix import effective
from ..nix.keys import KeySource
from ..nix.store import Nix
from ..queue.directory import Queue
from ..uploader.spec import UploadSpec, relevant_environment
from . import secrets as handover
from .context import Context
from .destination import Destination
from .secrets import Secrets


def upload_job(context: Context, nix: Nix, place: Destination, queue: Queue, began: int) -> UploadSpec:
    """For an uploader of this user. Reads the signing key, unless it is in AWS."""
    key = KeySource() if context.lacks(place) else place.signing_key(context.environ)
    environ = relevant_environment(context.environ)
    if context.environ.get("NIX_REMOTE") == "daemon":  # root's Nix would take a store that is mounted read-only
        environ["NIX_REMOTE"] = "daemon"
    return _job(context, nix, place, queue, began, Secrets(key=key, environ=environ))


def job_apart(context: Context, nix: Nix, place: Destination, queue: Queue, began: int) -> UploadSpec:
    """For an uploader of another user, who alone has the secrets from now on."""
    params = {name: value for name, value in place.url.params.items() if name != "profile"}
    url = replace(place.url, params=params)
    taken = handover.take(place, context.environ)
    job = _job(context, nix, replace(place, url=url), queue, began, taken)
    return replace(job, trusted=tuple(effective.of_machine(nix).get("trusted-public-keys", "").split()))


def _job(context: Context, nix: Nix, place: Destination, queue: Queue, began: int, secrets: Secrets) -> UploadSpec:
    settings = context.settings
    if secrets.key.is_text:
        context.host.mask(str(secrets.key))
    return UploadSpec.of(
        settings,
        queue=str(queue.directory),
        roots=str(queue.roots or ""),
        nix_bin=str(nix.bin),
        cache=str(place.url),
        elsewhere=tuple(map(str, place.others)),
        key=secrets.key,
        readers=tuple(map(str, place.public_keys)),
        dry_run=context.is_dry_run(place),
        environ=secrets.environ,
        began=began,
        role=settings.aws_role,
        audience=settings.oidc_audience,
        identity=context.identity,
    )
