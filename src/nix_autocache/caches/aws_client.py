"""Clients of AWS's own services, by boto3, and its errors as ours.

boto3 is imported only when it is needed. It reads endpoints (`AWS_ENDPOINT_URL_…`) from the environment itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ..errors import CacheBusy, CredentialsError, Error, InputError, one_line
from ..system import version

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

_BUSY: Final = ("Throttl", "RequestLimitExceeded", "TooManyRequests", "IDPCommunicationError", "InternalFailure")
_MISSING: Final = ("ParameterNotFound", "ResourceNotFoundException", "ParameterVersionNotFound")


def client(service: str, region: str, credentials: ReadOnlyCredentials | None) -> Any:
    """A client that gives up in seconds. Without credentials it does not sign its requests."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(
        connect_timeout=5,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 3},
        user_agent_extra=version.user_agent(),
    )
    if credentials is None:
        config = config.merge(Config(signature_version=UNSIGNED))
        return boto3.client(service, region_name=region, config=config)
    return boto3.client(
        service,
        region_name=region,
        config=config,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
    )


@contextmanager
def translated_errors(what: str) -> Iterator[None]:
    """Raises botocore's errors as ours: `what` failed, then what AWS said, on one line."""
    import botocore.exceptions

    try:
        yield
    except Error:
        raise
    except botocore.exceptions.ClientError as error:
        raise _translate(what, error) from None
    except botocore.exceptions.BotoCoreError as error:
        kind = CredentialsError if isinstance(error, botocore.exceptions.ParamValidationError) else CacheBusy
        raise kind(f"{what}: {one_line(error)}") from None


def _translate(what: str, error: Any) -> Error:
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500 or any(word in code for word in _BUSY):
        return CacheBusy(f"{what}: {code}: {message}")
    if code in _MISSING:
        return InputError(f"{what}: there is none; is it in another region? Set AWS_REGION, or give its ARN")
    return CredentialsError(f"{what}: {code}: {message}")
