"""The spec that an uploader works by, made from a job's inputs: its cache, its queue, its secrets."""

from __future__ import annotations

from dataclasses import replace

from ..nix import effective
from ..nix.key_source import KeySource
from ..nix.store import Nix
from ..queue.directory import Queue
from ..uploader.environment import relevant_environment
from ..uploader.spec import UploadSpec
from . import secrets
from .context import Context
from .destination import Destination
from .secrets import Secrets


def for_this_user(context: Context, destination: Destination, nix: Nix, queue: Queue, began: int) -> UploadSpec:
    """For an uploader of this user. Reads the signing key, unless it is in AWS."""
    key = KeySource() if context.lacks(destination) else destination.signing_key(context.environ)
    environ = relevant_environment(context.environ)
    if context.environ.get("NIX_REMOTE") == "daemon":  # root's Nix would take a store that is mounted read-only
        environ["NIX_REMOTE"] = "daemon"
    return _spec(context, destination, nix, queue, began, Secrets(key=key, environ=environ))


def for_separate_user(context: Context, destination: Destination, nix: Nix, queue: Queue, began: int) -> UploadSpec:
    """For an uploader of another user, which alone has the secrets from now on: their files are removed."""
    params = {name: value for name, value in destination.url.params.items() if name != "profile"}
    taken = secrets.take(destination, context.environ)
    destination = replace(destination, url=replace(destination.url, params=params))
    spec = _spec(context, destination, nix, queue, began, taken)
    return replace(spec, trusted=effective.trusted_keys(nix))


def _spec(context: Context, destination: Destination, nix: Nix, queue: Queue, began: int, taken: Secrets) -> UploadSpec:
    settings = context.settings
    if taken.key.is_text:
        context.host.mask(str(taken.key))
    return UploadSpec.of(
        settings,
        queue=queue.directory,
        roots=queue.roots,
        nix_bin=nix.bin,
        cache=destination.url,
        elsewhere=destination.others,
        key=taken.key,
        readers=destination.public_keys,
        dry_run=context.is_dry_run(destination),
        environ=taken.environ,
        began=began,
        role=settings.aws_role,
        audience=settings.oidc_audience,
        identity=context.identity,
    )
