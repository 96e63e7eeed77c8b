"""The account of the person who runs `init`: its credentials, its number, and clients of its services."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ...errors import InputError
from ...nix.store_url import CacheUrl
from ...system.dataclass import dataclass, field
from .service import Service, unsigned


@dataclass(frozen=True)
class Identity:
    """Who calls. `partition` is aws, or aws-cn and others that are apart from it."""

    account: str
    partition: str
    arn: str


@dataclass(frozen=True)
class AccessKey:
    """An access key that does not expire."""

    name: str
    secret: str = field(repr=False)


class Account:
    """Clients for a cache's URL. Its `endpoint` counts for S3 only. Without a region in it, the profile's counts in
    AWS, and us-east-1 elsewhere, as for jobs.
    """

    def __init__(self, url: CacheUrl) -> None:
        import boto3
        import botocore.exceptions

        self.endpoint = _endpoint(url)
        self.server = (urlsplit(self.endpoint).netloc or self.endpoint) if self.endpoint else "AWS"
        self._virtual = url.params.get("addressing-style") == "virtual"
        try:
            self._session = boto3.Session(profile_name=url.params.get("profile"))
            usual = self._session.region_name if self.is_aws else ""  # jobs have none
            self.region: str = url.params.get("region") or usual or "us-east-1"
        except botocore.exceptions.BotoCoreError as error:
            raise unsigned(error, self.server, "") from None
        named = self._session.profile_name
        self._profile: str = "" if named == "default" else named

    @property
    def is_aws(self) -> bool:
        return not self.endpoint

    def service(self, name: str) -> Service:
        """s3, ssm, iam or sts."""
        from botocore.config import Config

        # Other servers do not know the checksums that boto3 adds to every request.
        config = Config(
            connect_timeout=5,
            read_timeout=20,
            retries={"mode": "standard", "total_max_attempts": 3},
            request_checksum_calculation="when_required",
        )
        more: dict[str, Any] = {}
        if name == "s3" and self.endpoint:
            config = config.merge(Config(s3={"addressing_style": "virtual" if self._virtual else "path"}))
            more = {"endpoint_url": self.endpoint}
        client = self._session.client(name, region_name=self.region, config=config, **more)
        return Service(name, self.server if name == "s3" else "AWS", client, self._profile)

    def identity(self) -> Identity:
        """Raises Error if the credentials are none of AWS."""
        answer = self.service("sts").ask("get_caller_identity")
        return Identity(str(answer["Account"]), str(answer["Arn"]).split(":")[1], str(answer["Arn"]))

    def access_key(self) -> AccessKey:
        """The key that the credentials are. Raises InputError if they expire, or if there are none."""
        import botocore.exceptions

        try:
            found = self._session.get_credentials()
            if found is None:
                raise botocore.exceptions.NoCredentialsError
            frozen = found.get_frozen_credentials()
        except botocore.exceptions.BotoCoreError as error:
            raise unsigned(error, self.server, self._profile) from None
        if frozen.token:
            raise InputError(
                f"--credentials keys: the credentials for {self.server} expire, so they are none for a repository; "
                "make an access key for it, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to that"
            )
        return AccessKey(frozen.access_key, frozen.secret_key)


def _endpoint(url: CacheUrl) -> str:
    """As `caches/s3.py` reads it: a URL, or a host."""
    scheme, _, host = url.params.get("endpoint", "").rpartition("://")
    return f"{scheme or url.params.get('scheme') or 'https'}://{host.rstrip('/')}" if host else ""
