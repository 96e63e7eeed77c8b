"""AWS credentials of the uploader, which refresh.

Only the process that uploads uses this module: the session of a role is in its memory and nowhere else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ..ci.id_token import IdTokenSource
from ..errors import CredentialsError, one_line
from ..system.dataclass import dataclass
from .aws_client import client, translated_errors

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials

_SESSION: Final = "nix-autocache"
_HOURS: Final = (12, 8, 4, 2, 1)  # session lengths to try, since AWS does not say how long a role allows
# obstore asks again for credentials that expire within five minutes: botocore, which knows better, is asked each time.
_TTL: Final = timedelta(minutes=5)
_NEW: Final = 60.0  # seconds within which another refresh would not give better credentials


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role, by its ARN, and the id token that it is assumed with. `audience` is for messages."""

    arn: str
    audience: str
    identity: IdTokenSource


class AwsCredentials:
    """Refreshable credentials: botocore refreshes them before expiry, and `refresh` after a rejection.

    Used from many threads. `refreshes` counts the calls of `refresh` that fetched new ones.
    """

    def __init__(self, fetch: Callable[[], Credentials]) -> None:
        self.refreshes = 0
        self._fetch = fetch
        self._lock = threading.RLock()
        self._credentials: Credentials | None = None
        self._refreshed = float("-inf")

    def frozen(self) -> ReadOnlyCredentials:
        """Credentials to sign a request with now. Raises CredentialsError (permanent) or CacheBusy (retry)."""
        with self._lock:
            self._credentials = self._credentials or self._fetch()
        with translated_errors("AWS"):
            return self._credentials.get_frozen_credentials()

    def provide(self) -> dict[str, Any]:
        """The same in the shape that obstore takes."""
        now = self.frozen()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + _TTL,
        }

    def refresh(self, refreshes: int) -> bool:
        """Call after a request was rejected that was made when `self.refreshes` was `refreshes`.

        True if newer credentials can be tried. New ones that are rejected as well are not refreshed again.
        Raises as `frozen`.
        """
        with self._lock:
            if self.refreshes > refreshes:
                return True  # another thread was rejected first
            if time.monotonic() - self._refreshed < _NEW:
                return False
            self._credentials = self._fetch()
            self._refreshed = time.monotonic()
            self.refreshes += 1
            return True


def from_environment(profile: str | None = None) -> AwsCredentials:
    """Credentials that boto3 finds: in the environment, in the profiles of ~/.aws, as the machine's own role."""

    def fetch() -> Credentials:
        import boto3
        import botocore.exceptions

        try:
            credentials = boto3.Session(profile_name=profile).get_credentials()
        except botocore.exceptions.BotoCoreError as error:
            raise CredentialsError(f"AWS credentials: {one_line(error)}") from None
        if credentials is None:
            raise CredentialsError(
                "there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or aws-role; "
                "~/.aws and this machine's own role were tried as well"
            )
        return credentials

    return AwsCredentials(fetch)


def from_role(role: Role, region: str, environ: Mapping[str, str]) -> AwsCredentials:
    """The session of a role, for as long as the CI host gives an id token."""

    def fetch() -> Credentials:
        from botocore.credentials import RefreshableCredentials

        return RefreshableCredentials.create_from_metadata(assume(), assume, "assume-role-with-web-identity")

    def assume() -> dict[str, str]:
        return _assume(role, region, role.identity.fetch(environ))

    return AwsCredentials(fetch)


def _assume(role: Role, region: str, token: str) -> dict[str, str]:
    """A session in the shape that botocore keeps. As long as the role allows if there is no other id token."""
    sts = client("sts", region, None)
    hours: list[int | None] = [None] if role.identity.renewable else [*_HOURS]
    with translated_errors(f"AWS does not let this job assume {role.arn} (audience {role.audience})"):
        answer = next(filter(None, (_session(sts, role, token, each) for each in hours)))
    return {
        "access_key": answer["AccessKeyId"],
        "secret_key": answer["SecretAccessKey"],
        "token": answer["SessionToken"],
        "expiry_time": answer["Expiration"].isoformat(),
    }


def _session(sts: Any, role: Role, token: str, hours: int | None) -> Any:
    """The credentials that STS gives; None if the role does not allow sessions of so many hours."""
    duration = {"DurationSeconds": hours * 3600} if hours else {}
    try:
        answer = sts.assume_role_with_web_identity(
            RoleArn=role.arn, RoleSessionName=_SESSION, WebIdentityToken=token, **duration
        )
    except sts.exceptions.ClientError as error:
        if "MaxSessionDuration" in str(error) and hours != _HOURS[-1]:
            return None
        raise
    return answer["Credentials"]
