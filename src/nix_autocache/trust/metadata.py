"""Metadata services: credentials that a cloud gives to every process of its machines. Asked as the job's user.

If the uploader asks one of these services, the job's code can ask it as well, whatever user the uploader has.
A service that does not answer within `_PATIENCE` counts as absent. Proxies are not used: the addresses are local.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ..nix.key_source import KeySource
from ..nix.store_url import CacheUrl
from ..schemes.table import needed_credentials
from ..system.dataclass import dataclass

_PATIENCE: Final = 1.0  # seconds, for all of them together
_LONGEST: Final = 64 << 10  # bytes of an answer
_LINK_LOCAL: Final = "http://169.254.169.254"
_EC2: Final = (_LINK_LOCAL, "http://[fd00:ec2::254]")
_ECS: Final = "http://169.254.170.2"
_NAMED: Final = "where AWS_EC2_METADATA_SERVICE_ENDPOINT says"
_GOOGLE: Final = (_LINK_LOCAL, "http://metadata.google.internal")

Environ = Mapping[str, str]


def clouds(url: CacheUrl, key_source: KeySource, environ: Environ) -> tuple[str, ...]:
    """The clouds whose services the uploader will ask, since no variable gives it the credentials that it needs."""
    needed = needed_credentials(url.row, key_in_aws=key_source.is_in_aws)
    return tuple(each.cloud for each in needed if not each.are_sufficient(environ))


@dataclass(frozen=True)
class Service:
    """A service of a cloud. `gives` is true if it gives this process credentials."""

    name: str
    gives: Callable[[Environ], bool]


def answering(clouds: Collection[str], environ: Environ) -> list[str]:
    """Names of the services of these clouds that give this process credentials. All are asked at once."""
    asked = [service for cloud in clouds for service in SERVICES[cloud]]
    found: list[str] = []

    def ask(service: Service) -> None:
        with suppress(OSError, ValueError):
            if service.gives(environ):
                found.append(service.name)

    threads = [threading.Thread(target=ask, args=(service,), daemon=True) for service in asked]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _PATIENCE
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return list(dict.fromkeys(service.name for service in asked if service.name in found))


def _ec2(base: str, *, session: bool) -> Callable[[Environ], bool]:
    """With a session token (IMDSv2), or without one (IMDSv1). Source: AWS's guide to IMDSv2."""

    def gives(environ: Environ) -> bool:
        where = base or environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "").rstrip("/")
        headers = {}
        if where and session:
            token = _ask(f"{where}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
            headers = {"X-aws-ec2-metadata-token": token}
        return bool(where) and bool(_ask(f"{where}/latest/meta-data/iam/security-credentials/", headers))

    return gives


def _container(environ: Environ) -> bool:
    """ECS and EKS Pod Identity, at the URL in the variables, which AWS's libraries read the same way."""
    url = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    if relative := environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        url = _ECS + relative
    if not url:
        return False
    token = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if file := environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        token = Path(file).read_text().strip()
    return "AccessKeyId" in _ask(url, {"Authorization": token} if token else {})


def _google(base: str) -> Callable[[Environ], bool]:
    path = "/computeMetadata/v1/instance/service-accounts/default/token"

    def gives(environ: Environ) -> bool:
        named = environ.get("GCE_METADATA_HOST") or environ.get("GCE_METADATA_ROOT") or ""
        where = base or (f"http://{named}" if named else "")
        return bool(where) and "access_token" in _ask(where + path, {"Metadata-Flavor": "Google"})

    return gives


def _azure_machine(environ: Environ) -> bool:
    resource = "api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F"
    return "access_token" in _ask(f"{_LINK_LOCAL}/metadata/identity/oauth2/token?{resource}", {"Metadata": "true"})


def _azure_app(environ: Environ) -> bool:
    """App Service, Container Apps and Functions, at the URL in a variable."""
    url, secret = environ.get("IDENTITY_ENDPOINT"), environ.get("IDENTITY_HEADER", "")
    if not url:
        return False
    resource = "api-version=2019-08-01&resource=https%3A%2F%2Fstorage.azure.com%2F"
    return "access_token" in _ask(f"{url}?{resource}", {"X-IDENTITY-HEADER": secret})


SERVICES: Final[Mapping[str, tuple[Service, ...]]] = {
    "aws": (
        *(
            Service(
                f"AWS's metadata service {f'at {urlsplit(base).netloc}' if base else _NAMED}",
                _ec2(base, session=session),
            )
            for base in (*_EC2, "")
            for session in (True, False)
        ),
        Service("AWS's service for containers (AWS_CONTAINER_CREDENTIALS_…)", _container),
    ),
    "google": (
        *(Service(f"Google's metadata service at {urlsplit(base).netloc}", _google(base)) for base in _GOOGLE),
        Service("Google's metadata service where GCE_METADATA_HOST says", _google("")),
    ),
    "azure": (
        Service("Azure's metadata service at 169.254.169.254", _azure_machine),
        Service("Azure's service for applications (IDENTITY_ENDPOINT)", _azure_app),
    ),
    "github": (),  # it has none: the credentials are in variables
}


def _ask(url: str, headers: Mapping[str, str], method: str = "GET") -> str:
    """The text of a response with status 200, empty for another status. Raises OSError, ValueError."""
    import http.client  # it takes 10 ms, which every step would pay

    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if url.startswith("https:") else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=_PATIENCE)
    try:
        connection.request(method, f"{parts.path}?{parts.query}" if parts.query else parts.path, headers=dict(headers))
        answer = connection.getresponse()
        text = answer.read(_LONGEST).decode(errors="replace").strip()
        return text if answer.status == 200 else ""
    except http.client.HTTPException as error:
        raise OSError(f"no answer in HTTP: {error}") from None
    finally:
        connection.close()
