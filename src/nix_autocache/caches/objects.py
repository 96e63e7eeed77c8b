"""Caches in object stores and in a directory, through obstore: `s3://`, `gs://`, `az://`, `file://`.

Only obstore's blocking calls are used, from threads: they release the interpreter, and its asynchronous ones can
abort the process at exit (0.12.1). boto3 is asked for credentials only where the environment holds none.
Credentials that can be had anew are had anew once when a request is refused; see `aws.Login`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from ..errors import CacheBusy, CacheError, CredentialsError, Error
from ..nix.store_url import CacheUrl
from . import region
from .http1 import LARGEST
from .http_status import INFO, is_absent, missing, refusal, stored_anyway
from .protocol import Access, Body, Content
from .retry_after import Patience

if TYPE_CHECKING:
    from obstore import BytesStream
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

    from .aws import AwsCredentials

PART: Final = 8 << 20  # bytes; S3 allows 10,000 parts, so 80 GB in one archive
_PIECE: Final = 1 << 20  # bytes at least, when reading
_AT_ONCE: Final = 2  # parts of one archive in flight


@dataclass(frozen=True)
class Limits:
    """How long a request may take, and how often obstore itself makes it again."""

    timeout: timedelta
    retries: int = 0

    @property
    def retry_config(self) -> RetryConfig:
        backoff = {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=5), "base": 2}
        return {"max_retries": self.retries, "retry_timeout": timedelta(minutes=5), "backoff": backoff}  # type: ignore[typeddict-item]


# Our own retries know the deadline and what the cache asked for. obstore's only serve streams, where a part that is
# lost must not cost the whole archive. 50 MB in flight take three minutes at 2 Mbit/s.
QUESTION: Final = Limits(timedelta(seconds=8))
ARCHIVE: Final = Limits(timedelta(minutes=3))
STREAM: Final = Limits(timedelta(minutes=3), retries=4)
READING: Final = Limits(timedelta(hours=1), retries=2)  # until the last byte was taken
_SMALL: Final = 64 << 10  # bytes that a question's time is enough for

_STATUS = re.compile(r"status code: (\d{3})")
# S3 answers 400 to a token that expired, and to HEAD it cannot say more.
_EXPIRED = re.compile("ExpiredToken|TokenRefreshRequired|InvalidToken|InvalidAccessKeyId|performing HEAD")
_FULL = re.compile("No space left|Read-only file system|Permission denied|File too large|quota exceeded")
_UNTRUSTED = re.compile(r"InvalidCertificate\(\s*(\w+)|CERTIFICATE_VERIFY_FAILED")
_DENIED: Final = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
_LONGEST: Final = 300  # characters of a message
_CAUSES: Final = {
    "TimedOut": "no answer in time",
    "ConnectionRefused": "connection refused",
    "ConnectionReset": "connection reset",
    "BrokenPipe": "connection closed",
    "dns error": "host name not found",
}

Opener: TypeAlias = "Callable[[Limits], ObjectStore]"


class Objects:
    """An ObjectCache in anything that obstore can open. `where` names it in errors, `bucket_region` where S3 is asked
    for it."""

    def __init__(
        self,
        opener: Opener,
        where: str,
        patience: Patience,
        environ: Mapping[str, str],
        login: AwsCredentials | None = None,
        bucket_region: str = "",
    ) -> None:
        self.where = where
        self._environ = environ
        self._region = bucket_region
        self._patience = patience
        self._login = login
        # obstore keeps credentials that it was given: after a refusal, others need another store.
        self._opened = lru_cache(maxsize=4)(lambda limits, turn: opener(limits))

    def store_for(self, limits: Limits) -> ObjectStore:
        return self._opened(limits, self._login.turn if self._login else 0)

    @property
    def store(self) -> ObjectStore:
        return self.store_for(QUESTION)

    def get(self, name: str) -> bytes | None:
        content = self._found(name, self.store)
        if content is None:
            return None
        text = b""
        for piece in content.pieces:
            text += piece
            if len(text) > LARGEST:
                content.close()
                raise CacheError(f"{self.where}: {name} is larger than the {LARGEST >> 20} MB that it can have")
        return text

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        return {}

    def open(self, name: str) -> Content | None:
        return self._found(name, self.store_for(READING))

    def _found(self, name: str, store: ObjectStore) -> Content | None:
        with self._absences(name), self._errors(name):
            found = obstore.get(store, name)
            return Content(found.meta["size"], self._pieces(name, found.stream(_PIECE)))
        return None

    def _pieces(self, name: str, stream: BytesStream) -> Iterator[bytes]:
        with self._errors(name):
            for piece in stream:
                yield bytes(piece)

    def exists(self, name: str) -> bool:
        with self._absences(name), self._errors(name):
            obstore.head(self.store, name)
            return True
        return False

    @contextmanager
    def _absences(self, name: str) -> Iterator[None]:
        """Ends the block where the answer to a question means that there is no such object."""
        try:
            yield
        except FileNotFoundError:
            return
        except CredentialsError:
            if not is_absent(name, 403):
                raise

    def put(self, name: str, body: Body, content_type: str) -> None:
        # The directory has nowhere to keep a content type, and obstore refuses to drop one.
        attributes = None if isinstance(self.store, LocalStore) else {"Content-Type": content_type}
        try:
            with self._errors(name):
                self._put(name, body, attributes)
        except FileNotFoundError:
            raise missing(self.where) from None
        except Error as error:
            if not stored_anyway(self, name, body, error):
                raise

    def _put(self, name: str, body: Body, attributes: dict[str, str] | None) -> None:
        if isinstance(body, bytes):
            store = self.store_for(QUESTION if len(body) <= _SMALL else ARCHIVE)
            obstore.put(store, name, body, attributes=attributes, use_multipart=False)
        else:
            store = self.store_for(STREAM)
            obstore.put(store, name, iter(body), attributes=attributes, chunk_size=PART, max_concurrency=_AT_ONCE)

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """obstore's errors as ours; FileNotFoundError goes through, since what is missing depends on the question."""
        turn = self._login.turn if self._login else 0
        try:
            if self._login:
                self._login.frozen()  # had anew here, a failure is told apart from the cache's own
            yield
        except (FileNotFoundError, Error):
            raise
        except (exceptions.BaseError, OSError) as error:
            raise self._with_others(turn, self.classified(name, error)) from None

    def _with_others(self, turn: int, error: Error) -> Error:
        """A refusal, as a reason to try again where there are other credentials by now."""
        if self._login and isinstance(error, CredentialsError) and self._login.renew(turn):
            return CacheBusy(f"{error} (tried again with new ones)")
        return error

    def classified(self, name: str, error: Exception) -> Error:
        """An error of obstore, or of the system, as ours. Whether to ask again is told by the status, which obstore has
        in its message only."""
        found = _STATUS.search(str(error))
        status = int(found[1]) if found else 0
        if (status == 400 and _EXPIRED.search(str(error))) or isinstance(error, _DENIED):
            status = 403
        if not status and (bad := _UNTRUSTED.search(str(error))):
            return CacheError(
                f"{self.where}: its TLS certificate is not trusted ({bad[1] or 'not valid'}); "
                "name the file with its authority's certificate in NIX_SSL_CERT_FILE"
            )
        if self._region and region.is_elsewhere(str(error)):
            return self._elsewhere(error)
        if isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError):
            status = 409
        if not status and _FULL.search(str(error)):
            return CacheError(f"{self.where}: {name}: {_said(error)}")
        wait = self._patience.asked_for(name) if status in {429, 503} else 0.0
        return refusal(self.where, name, status, _said(error), wait)

    def _elsewhere(self, error: Exception) -> CacheError:
        there = region.named(str(error), lambda: _signed(self.store, INFO, "GET"), self._environ)
        if not there or there == self._region:
            return CacheError(f"{self.where}: the server sends requests for this bucket elsewhere: {_said(error)}")
        return CacheError(f"{self.where} is in {there}, not {self._region}; write region={there}")


def _said(error: Exception) -> str:
    """What of an obstore error helps people: the server's answer, or why there was none."""
    first, _, debug = str(error).strip().partition("\n")
    text = first.partition(" - ")[2] or first or type(error).__name__
    causes = [cause for sign, cause in _CAUSES.items() if sign in debug]
    return f"{text[:_LONGEST]} ({causes[0]})" if causes else text[:_LONGEST]


def open_objects(url: CacheUrl, access: Access) -> Objects:
    """The store that a URL names. Raises CacheError when its parameters do not fit together."""
    environ = access.environ
    login = (access.login or _login(url, environ)) if url.scheme == "s3" else None
    openers: dict[str, Callable[[CacheUrl, Mapping[str, str]], Opener]] = {
        "file": _directory,
        "s3": partial(_s3, login),
        "gs": _gcs,
        "az": _azure,
    }
    try:
        opener = openers[url.scheme](url, environ)
        opener(QUESTION)
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise CacheError(f"cannot open {url.without_params}: {_said(error)}") from None
    patience = Patience(lambda name: _signed(objects.store, name, "HEAD"), environ)
    asked = _region(url, environ) if url.scheme == "s3" else ""
    objects = Objects(opener, url.without_params, patience, environ, login, asked)
    return objects


def _signed(store: Any, name: str, method: Literal["GET", "HEAD"]) -> str:
    """Where to ask for an object with that method. Raises exceptions.BaseError where the credentials cannot sign."""
    return str(obstore.sign(store, method, name, timedelta(minutes=1)))


def client_options(url: CacheUrl, environ: Mapping[str, str], limits: Limits) -> ClientConfig:
    """Proxies and private CAs come from the usual variables; plain HTTP is allowed where the URL asks for it."""
    options: ClientConfig = {"timeout": limits.timeout, "connect_timeout": "10s", "pool_idle_timeout": "60s"}
    if "http" in {url.scheme, url.params.get("scheme"), url.params.get("endpoint", "").partition("://")[0]}:
        options["allow_http"] = True
    bundle = environ.get("NIX_SSL_CERT_FILE") or environ.get("SSL_CERT_FILE")
    if bundle and Path(bundle).is_file():
        options["root_certificate"] = Path(bundle).read_bytes()
    return options


def _directory(url: CacheUrl, environ: Mapping[str, str]) -> Opener:
    return lambda _: LocalStore(url.path, mkdir=True)


def _login(url: CacheUrl, environ: Mapping[str, str]) -> AwsCredentials | None:
    """Where S3's credentials come from, if not from the environment itself. What is empty there is not given."""
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY") and "profile" not in url.params:
        return None
    from . import aws

    return aws.found(url.params.get("profile") or None)


def _region(url: CacheUrl, environ: Mapping[str, str]) -> str:
    return url.params.get("region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _s3(login: AwsCredentials | None, url: CacheUrl, environ: Mapping[str, str]) -> Opener:
    # Nix takes a bare host too, and by itself addresses buckets of other endpoints by path.
    virtual = url.params.get("addressing-style") == "virtual"
    config: dict[str, Any] = {"region": _region(url, environ), "virtual_hosted_style_request": virtual}
    if given := url.params.get("endpoint"):
        scheme, _, host = given.rpartition("://")
        bucket = f"{url.authority}." if virtual else ""
        config["endpoint"] = f"{scheme or url.params.get('scheme') or 'https'}://{bucket}{host.rstrip('/')}"
    if login:
        config["credential_provider"] = login.provide
    else:
        config["access_key_id"] = environ["AWS_ACCESS_KEY_ID"]
        config["secret_access_key"] = environ["AWS_SECRET_ACCESS_KEY"]
        if token := environ.get("AWS_SESSION_TOKEN"):
            config["session_token"] = token
    return _bucket(S3Store, url, environ, config)


def _gcs(url: CacheUrl, environ: Mapping[str, str]) -> Opener:
    names = {
        "GOOGLE_APPLICATION_CREDENTIALS": "application_credentials",
        "GOOGLE_SERVICE_ACCOUNT_KEY": "service_account_key",
    }
    config: dict[str, Any] = {key: environ[name] for name, key in names.items() if name in environ}
    return _bucket(GCSStore, url, environ, config)


def _azure(url: CacheUrl, environ: Mapping[str, str]) -> Opener:
    config: dict[str, Any] = {
        name.removeprefix("AZURE_STORAGE_").lower(): value
        for name, value in environ.items()
        if name in {"AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_KEY"}
    }
    if account := url.params.get("account"):
        config["account_name"] = account
    if endpoint := url.params.get("endpoint"):
        config["endpoint"] = endpoint
    return _bucket(AzureStore, url, environ, config)


def _bucket(
    make: Callable[..., ObjectStore], url: CacheUrl, environ: Mapping[str, str], config: Mapping[str, Any]
) -> Opener:
    return lambda limits: make(
        url.authority,
        prefix=url.path.strip("/") or None,
        client_options=client_options(url, environ, limits),
        retry_config=limits.retry_config,
        **config,
    )
