"""A service of AWS, or of a server that speaks S3, with the credentials of the person who runs `init`.

Its refusals are errors of ours: one line, which names the permission that is missing. boto3 finds the credentials.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from ...errors import Error, InputError, one_line
from ...system.dataclass import dataclass

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedOperation", "Forbidden", "403"}
)
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_UNKNOWN_KEY: Final = frozenset(
    {"InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException"}
)
UNSUPPORTED: Final = frozenset(
    {
        "NotImplemented",
        "MethodNotAllowed",
        "UnsupportedOperation",
        "MalformedXML",
        "InvalidRequest",
        "405",
        "501",
        # rclone takes a setting of a bucket for another attempt to make it.
        "BucketAlreadyExists",
        "BucketAlreadyOwnedByYou",
    }
)
"""Codes by which servers other than AWS say that they do not have a setting of buckets."""

# Where an operation is not its own permission. Source: "Actions, resources, and condition keys" in AWS's Service
# Authorization Reference.
_PERMISSIONS: Final[Mapping[str, str]] = {
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "CreateBucket": "s3:CreateBucket and s3:TagResource",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "PutParameter": "ssm:PutParameter and ssm:AddTagsToResource",
    "CreateRole": "iam:CreateRole and iam:TagRole",
    "CreateOpenIDConnectProvider": "iam:CreateOpenIDConnectProvider and iam:TagOpenIDConnectProvider",
}
_NAMES: Final = ("Bucket", "RoleName", "OpenIDConnectProviderArn", "Name", "ResourceId")  # parameters that name a thing


@dataclass(frozen=True)
class Service:
    """One service. `server` is AWS, or the host of another server."""

    name: str
    server: str
    client: Any
    profile: str = ""

    @property
    def is_aws(self) -> bool:
        return self.server == "AWS"

    def ask(self, operation: str, *, missing: Collection[str] = (), **parameters: Any) -> Any:
        """The answer to an operation, by the name of boto3's method; None if the error's code is one of `missing`.

        Raises Error, or InputError where another name or other credentials would help.
        """
        import botocore.exceptions

        what = next((str(parameters[name]) for name in _NAMES if name in parameters), "")
        try:
            return getattr(self.client, operation)(**parameters)
        except botocore.exceptions.ClientError as error:
            if _code(error) in missing:
                return None
            raise self._refusal(error, what) from None
        except botocore.exceptions.BotoCoreError as error:
            raise unsigned(error, self.server, self.profile) from None

    def _refusal(self, error: ClientError, what: str) -> Error:
        code, message = _code(error), one_line(Error(error.response["Error"].get("Message") or "no reason given"))
        permission = _PERMISSIONS.get(error.operation_name, f"{self.name}:{error.operation_name}")
        if code == "BucketAlreadyExists":
            return InputError(f"--cache: the name of the bucket {what} is taken by another account; choose another")
        if code in _DENIED and error.operation_name == "HeadBucket":  # S3 gives no reason with it
            return Error(
                f"the bucket {what} is another account's, or these credentials lack s3:ListBucket on it; choose "
                "another name, allow that, or choose other credentials by AWS_PROFILE"
            )
        if code in _DENIED:
            return Error(
                f"{self.server} refuses {permission}{f' on {what}' if what else ''}: {message}; "
                "allow that, or choose other credentials by AWS_PROFILE"
            )
        if code in _EXPIRED:
            return Error(f"{self.server}: {message}; {_renewal(self.profile)}")
        if code in _UNKNOWN_KEY:
            return Error(
                f"{self.server} does not accept the access key: {code}: {message}; "
                "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_PROFILE"
            )
        return Error(f"{self.server}: {permission}{f' on {what}' if what else ''}: {code}: {message}")


def unsigned(error: BotoCoreError, server: str, profile: str) -> Error:
    """An error before the service answered: no credentials, an expired login, no connection."""
    import botocore.exceptions as of

    text = one_line(error)
    if isinstance(error, of.SSOError | of.TokenRetrievalError | of.UnauthorizedSSOTokenError):
        return Error(f"{server}: {text}; {_renewal(profile)}")
    if isinstance(error, of.NoCredentialsError | of.PartialCredentialsError):
        return InputError(
            f"there are no credentials for {server}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, "
            "or log in with `aws sso login`"
        )
    if isinstance(error, of.ProfileNotFound):
        return InputError(f"{text}; `aws configure list-profiles` shows those that there are")
    return Error(f"{server}: {text}")


def _renewal(profile: str) -> str:
    return f"log in again: `aws sso login{f' --profile {profile}' if profile else ''}`"


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
