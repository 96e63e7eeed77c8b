"""Caches in object stores and in a directory, through obstore: `s3://`, `gs://`, `az://`, `file://`.

Only obstore's blocking calls are used, from threads: they release the interpreter, and its asynchronous ones can
abort the process at exit (0.12.1). boto3 is asked for credentials only where the environment holds none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from ..errors import CacheBusy, CacheError, StoreError, one_line
from ..urls import CacheUrl
from . import Body

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

PART: Final = 8 << 20  # bytes; S3 allows 10,000 parts, so 80 GB in one archive
_AT_ONCE: Final = 2  # parts of one archive in flight

# Our own retries know the deadline; obstore's only bridge a dropped connection.
RETRY: Final[RetryConfig] = {
    "max_retries": 1,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
}


class Objects:
    """An ObjectCache in anything that obstore can open. `where` names it in errors."""

    def __init__(self, store: ObjectStore, where: str) -> None:
        self.store = store
        self.where = where

    def get(self, name: str) -> bytes | None:
        try:
            with self._errors(name):
                return bytes(obstore.get(self.store, name).bytes())
        except FileNotFoundError:
            return None

    def exists(self, name: str) -> bool:
        try:
            with self._errors(name):
                obstore.head(self.store, name)
        except FileNotFoundError:
            return False
        return True

    def put(self, name: str, body: Body, content_type: str) -> None:
        # The directory has nowhere to keep a content type, and obstore refuses to drop one.
        attributes = None if isinstance(self.store, LocalStore) else {"Content-Type": content_type}
        try:
            with self._errors(name):
                self._put(name, body, attributes)
        except FileNotFoundError:
            raise CacheError(f"{self.where} does not exist; create it, or correct `cache`") from None

    def _put(self, name: str, body: Body, attributes: dict[str, str] | None) -> None:
        if isinstance(body, bytes):
            obstore.put(self.store, name, body, attributes=attributes, use_multipart=False)
        else:
            obstore.put(self.store, name, body, attributes=attributes, chunk_size=PART, max_concurrency=_AT_ONCE)

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """obstore's errors as ours; FileNotFoundError goes through, since what is missing depends on the question."""
        try:
            yield
        except (FileNotFoundError, StoreError):
            raise
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise CacheError(f"{self.where} refused {name}: {one_line(error)}; are the credentials right?") from None
        except (exceptions.BaseError, OSError) as error:
            raise CacheBusy(f"{self.where}: {name}: {one_line(error)}") from None


def open_objects(url: CacheUrl, environ: Mapping[str, str]) -> Objects:
    """The store that a URL names. Raises CacheError when its parameters do not fit together."""
    openers: dict[str, Callable[[CacheUrl, Mapping[str, str]], Any]] = {
        "file": _directory,
        "s3": _s3,
        "gs": _gcs,
        "az": _azure,
    }
    try:
        return Objects(openers[url.scheme](url, environ), url.without_params)
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise CacheError(f"cannot open {url.without_params}: {one_line(error)}") from None


def client_options(url: CacheUrl, environ: Mapping[str, str]) -> ClientConfig:
    """Proxies and private CAs come from the usual variables; plain HTTP is allowed where the URL asks for it."""
    options: ClientConfig = {"timeout": "10m", "connect_timeout": "10s", "pool_idle_timeout": "60s"}
    if "http" in {url.scheme, url.params.get("scheme"), url.params.get("endpoint", "").partition("://")[0]}:
        options["allow_http"] = True
    bundle = environ.get("NIX_SSL_CERT_FILE") or environ.get("SSL_CERT_FILE")
    if bundle and Path(bundle).is_file():
        options["root_certificate"] = Path(bundle).read_bytes()
    return options


def _directory(url: CacheUrl, environ: Mapping[str, str]) -> LocalStore:
    return LocalStore(url.path, mkdir=True)


def _s3(url: CacheUrl, environ: Mapping[str, str]) -> S3Store:
    config: dict[str, Any] = {"region": url.params.get("region") or environ.get("AWS_REGION") or "us-east-1"}
    if endpoint := url.params.get("endpoint"):
        # Nix takes a bare host too, and addresses buckets of other endpoints by path.
        scheme = url.params.get("scheme", "https")
        config["endpoint"] = endpoint if "://" in endpoint else f"{scheme}://{endpoint}"
        config["virtual_hosted_style_request"] = False
    provider = None
    if "AWS_ACCESS_KEY_ID" in environ and "profile" not in url.params:
        config["access_key_id"] = environ["AWS_ACCESS_KEY_ID"]
        config["secret_access_key"] = environ.get("AWS_SECRET_ACCESS_KEY", "")
        if token := environ.get("AWS_SESSION_TOKEN"):
            config["session_token"] = token
    else:
        provider = _boto3_provider(url.params.get("profile"))
    return S3Store(
        url.authority,
        prefix=url.path.strip("/") or None,
        client_options=client_options(url, environ),
        retry_config=RETRY,
        credential_provider=provider,
        **config,
    )


def _boto3_provider(profile: str | None) -> Any:
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider

    return Boto3CredentialProvider(boto3.Session(profile_name=profile))


def _gcs(url: CacheUrl, environ: Mapping[str, str]) -> GCSStore:
    names = {
        "GOOGLE_APPLICATION_CREDENTIALS": "application_credentials",
        "GOOGLE_SERVICE_ACCOUNT_KEY": "service_account_key",
    }
    config: dict[str, Any] = {key: environ[name] for name, key in names.items() if name in environ}
    return GCSStore(
        url.authority,
        prefix=url.path.strip("/") or None,
        client_options=client_options(url, environ),
        retry_config=RETRY,
        **config,
    )


def _azure(url: CacheUrl, environ: Mapping[str, str]) -> AzureStore:
    config: dict[str, Any] = {
        name.removeprefix("AZURE_STORAGE_").lower(): value
        for name, value in environ.items()
        if name in {"AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_KEY"}
    }
    if account := url.params.get("account"):
        config["account_name"] = account
    return AzureStore(
        url.authority,
        prefix=url.path.strip("/") or None,
        client_options=client_options(url, environ),
        retry_config=RETRY,
        **config,
    )
