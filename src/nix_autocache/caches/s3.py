"""Caches in S3, and in the servers that speak its protocol: `s3://`.

Credentials come from the environment if it holds a whole pair, else from a role or from boto3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from obstore.store import S3Store

from ..nix.store_url import CacheUrl
from ..schemes.table import AWS
from .object_store import ObjectStoreCache, open_store
from .obstore_client import Opener, open_bucket
from .protocol import Access
from .signed_bucket import PushedBucket, SignedBucket

if TYPE_CHECKING:
    from .aws_credentials import AwsCredentials


def open_s3(url: CacheUrl, access: Access) -> ObjectStoreCache:
    """The cache in the bucket that a URL names. Raises CacheError if its parameters do not fit together."""
    environ = access.environ
    credentials = access.credentials or (None if access.anonymous else _credentials(url, environ))
    config = {"skip_signature": True} if access.anonymous else _signing(credentials, environ)
    return open_store(
        url,
        environ,
        lambda: _opener(config, url, environ),
        credentials,
        bucket_region=_region(url, environ),
        kind=ObjectStoreCache if access.anonymous else SignedBucket if access.only_reads else PushedBucket,
    )


def _signing(credentials: AwsCredentials | None, environ: Mapping[str, str]) -> dict[str, Any]:
    if credentials:
        return {"credential_provider": credentials.provide}
    pair = {"access_key_id": environ["AWS_ACCESS_KEY_ID"], "secret_access_key": environ["AWS_SECRET_ACCESS_KEY"]}
    token = environ.get("AWS_SESSION_TOKEN")
    return {**pair, "session_token": token} if token else pair


def _credentials(url: CacheUrl, environ: Mapping[str, str]) -> AwsCredentials | None:
    """None if the environment itself holds them; an empty variable counts as missing."""
    if AWS.are_complete(environ) and "profile" not in url.params:
        return None
    from . import aws_credentials

    return aws_credentials.from_environment(url.params.get("profile") or None)


def _region(url: CacheUrl, environ: Mapping[str, str]) -> str:
    return url.params.get("region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _opener(signing: Mapping[str, Any], url: CacheUrl, environ: Mapping[str, str]) -> Opener:
    # Nix takes a bare host too, and by itself addresses buckets of other endpoints by path.
    virtual = url.params.get("addressing-style") == "virtual"
    config: dict[str, Any] = {**signing, "region": _region(url, environ), "virtual_hosted_style_request": virtual}
    if given := url.params.get("endpoint"):
        scheme, _, host = given.rpartition("://")
        bucket = f"{url.authority}." if virtual else ""
        config["endpoint"] = f"{scheme or url.params.get('scheme') or 'https'}://{bucket}{host.rstrip('/')}"
    return open_bucket(S3Store, url, environ, config)
