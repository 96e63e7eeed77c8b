"""AWS as the uploader meets it: whose credentials it has, and signing keys that are kept there.

Only the process that uploads comes here: the session of a role is in its memory and nowhere else. boto3 is imported
when it is needed, and looks for endpoints (`AWS_ENDPOINT_URL_…`) and profiles in the environment itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ..ci.id_token import IdTokenSource
from ..errors import CacheBusy, CredentialsError, Error, InputError, one_line
from ..nix.key_source import KeyKind, KeySource
from ..nix.keys import SecretKey, parse_secret

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials

_SESSION: Final = "nix-autocache"
_HOURS: Final = (12, 8, 4, 2, 1)  # what a role may allow a session to last; AWS does not say how much it does
# obstore asks again for what ends within five minutes: botocore, which knows when to renew, is asked each time.
_TTL: Final = timedelta(minutes=5)
_NEW: Final = 60.0  # seconds in which credentials are as good as any others that could be had
_BUSY: Final = ("Throttl", "RequestLimitExceeded", "TooManyRequests", "IDPCommunicationError", "InternalFailure")
_MISSING: Final = ("ParameterNotFound", "ResourceNotFoundException", "ParameterVersionNotFound")


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role, by its ARN, and the id token that it is assumed with; `audience` is for messages."""

    arn: str
    audience: str
    identity: IdTokenSource


class AwsCredentials:
    """Credentials that are had anew: by botocore before they end, and when a request with them was refused.

    Used from many threads. `turn` counts how often they were had anew after a refusal.
    """

    def __init__(self, begin: Callable[[], Credentials]) -> None:
        self.turn = 0
        self._begin = begin
        self._lock = threading.RLock()
        self._credentials: Credentials | None = None
        self._renewed = float("-inf")

    def frozen(self) -> ReadOnlyCredentials:
        """What to sign a request with now. Raises CredentialsError for good, CacheBusy for now."""
        with self._lock:
            self._credentials = self._credentials or self._begin()
        with _explained("AWS"):
            return self._credentials.get_frozen_credentials()

    def provide(self) -> dict[str, Any]:
        """The same, as obstore wants it."""
        now = self.frozen()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + _TTL,
        }

    def renew(self, turn: int) -> bool:
        """After a refusal with the credentials of that turn: whether there are others to try it with.

        What is refused with new ones too is refused for its own sake. Raises what asking for credentials raises.
        """
        with self._lock:
            if self.turn > turn:
                return True  # another thread was refused first
            if time.monotonic() - self._renewed < _NEW:
                return False
            self._credentials = self._begin()
            self._renewed = time.monotonic()
            self.turn += 1
            return True


def found(profile: str | None = None) -> AwsCredentials:
    """Whatever boto3 finds: the environment, the profiles in ~/.aws, the machine's own role."""

    def begin() -> Credentials:
        import boto3
        import botocore.exceptions

        try:
            credentials = boto3.Session(profile_name=profile).get_credentials()
        except botocore.exceptions.BotoCoreError as error:
            raise CredentialsError(f"AWS credentials: {one_line(error)}") from None
        if credentials is None:
            raise CredentialsError(
                "there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or aws-role; "
                "~/.aws and this machine's own role were tried, too"
            )
        return credentials

    return AwsCredentials(begin)


def assuming(role: Role, region: str, environ: Mapping[str, str]) -> AwsCredentials:
    """The session of a role, for as long as the id token can be had."""

    def begin() -> Credentials:
        from botocore.credentials import RefreshableCredentials

        return RefreshableCredentials.create_from_metadata(assume(), assume, "assume-role-with-web-identity")

    def assume() -> dict[str, str]:
        return _assume(role, region, role.identity.fetch(environ))

    return AwsCredentials(begin)


def secret_key(source: KeySource, login: AwsCredentials, region: str) -> SecretKey:
    """The signing key at `aws-ssm:NAME` or `aws-secretsmanager:NAME`; a NAME may be an ARN.

    Raises InputError when it is not there or is no key, CredentialsError when it may not be read, CacheBusy.
    """
    name = source.name
    region = name.split(":")[3] if name.startswith("arn:") and name.count(":") > 4 else region
    read = {KeyKind.SSM: _parameter, KeyKind.SECRETS_MANAGER: _secret}[source.kind]
    with _explained(f"signing-key: {source} in {region}"):
        text = read(name, login, region)
    return parse_secret(text, name=f"signing-key: {source}")


def _parameter(name: str, login: AwsCredentials, region: str) -> str:
    answer = _client("ssm", region, login).get_parameter(Name=name, WithDecryption=True)
    return str(answer["Parameter"]["Value"])


def _secret(name: str, login: AwsCredentials, region: str) -> str:
    return str(_client("secretsmanager", region, login).get_secret_value(SecretId=name).get("SecretString", ""))


def _client(service: str, region: str, login: AwsCredentials | None) -> Any:
    """A client that gives up in seconds; without a login it does not sign."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
    if login is None:
        config = config.merge(Config(signature_version=UNSIGNED))
        return boto3.client(service, region_name=region, config=config)
    now = login.frozen()
    return boto3.client(
        service,
        region_name=region,
        config=config,
        aws_access_key_id=now.access_key,
        aws_secret_access_key=now.secret_key,
        aws_session_token=now.token,
    )


def _assume(role: Role, region: str, token: str) -> dict[str, str]:
    """A session as botocore keeps it. Where this token is the last, for as long as the role allows."""
    client = _client("sts", region, None)
    hours: list[int | None] = [None] if role.identity.renewable else [*_HOURS]
    with _explained(f"AWS does not let this job assume {role.arn} (audience {role.audience})"):
        sessions = (_session(client, role, token, each) for each in hours)
        answer = next(filter(None, sessions))
    return {
        "access_key": answer["AccessKeyId"],
        "secret_key": answer["SecretAccessKey"],
        "token": answer["SessionToken"],
        "expiry_time": answer["Expiration"].isoformat(),
    }


def _session(client: Any, role: Role, token: str, hours: int | None) -> Any:
    """What STS answers; None where the role's sessions may not be that long."""
    duration = {"DurationSeconds": hours * 3600} if hours else {}
    try:
        answer = client.assume_role_with_web_identity(
            RoleArn=role.arn, RoleSessionName=_SESSION, WebIdentityToken=token, **duration
        )
    except client.exceptions.ClientError as error:
        if "MaxSessionDuration" in str(error) and hours != _HOURS[-1]:
            return None
        raise
    return answer["Credentials"]


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """botocore's errors as ours, in a line that says what AWS said."""
    import botocore.exceptions

    try:
        yield
    except Error:
        raise
    except botocore.exceptions.ClientError as error:
        raise _refusal(what, error) from None
    except botocore.exceptions.BotoCoreError as error:
        kind = CredentialsError if isinstance(error, botocore.exceptions.ParamValidationError) else CacheBusy
        raise kind(f"{what}: {one_line(error)}") from None


def _refusal(what: str, error: Any) -> Error:
    code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500 or any(word in code for word in _BUSY):
        return CacheBusy(f"{what}: {code}: {said}")
    if code in _MISSING:
        return InputError(f"{what}: there is none; is it in another region? Set AWS_REGION, or give its ARN")
    return CredentialsError(f"{what}: {code}: {said}")
