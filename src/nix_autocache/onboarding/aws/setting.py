"""What the plan for a cache in S3 starts from: the account, the bucket's region, and where the signing key goes."""

from __future__ import annotations

from types import MappingProxyType

from ...errors import InputError
from ...nix.key_source import KeyKind, KeySource
from ...nix.store_url import CacheUrl
from ...system.dataclass import dataclass, replace
from ..options import Options
from ..repository import Repository
from ..storage import Request
from .account import Account, Identity
from .bucket import Bucket
from .role import as_word


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all parts of the plan need. `identity` is None at servers other than AWS, `url` is as jobs get it.

    With `uses_role` jobs assume a role, otherwise they have an access key.
    """

    options: Options
    repository: Repository
    account: Account
    identity: Identity | None
    url: CacheUrl
    bucket: Bucket
    uses_role: bool

    @property
    def partition(self) -> str:
        return self.identity.partition if self.identity else "aws"

    def arn(self, service: str, resource: str) -> str:
        assert self.identity, "only AWS has ARNs"
        region = "" if service == "iam" else self.account.region
        return f"arn:{self.identity.partition}:{service}:{region}:{self.identity.account}:{resource}"

    @property
    def branches(self) -> tuple[str, ...]:
        """Those that may push."""
        return self.options.branches or (self.repository.default_branch,)

    def key_source(self) -> KeySource:
        """Where the signing key goes; false for the repository's secret. Raises InputError."""
        source = self.options.key_in
        if source is None:
            name = f"/nix-cache/{as_word(self.repository.name)}"
            return KeySource(KeyKind.SSM, name) if self.uses_role else KeySource()
        if source and not self.account.is_aws:
            raise InputError(f"--key-in: the access key of {self.account.server} opens nothing in AWS; give secret")
        if source.name.startswith("arn:"):
            raise InputError("--key-in: give the parameter's name, as in aws-ssm:/nix-cache/project, not its ARN")
        return source


def setting_of(request: Request) -> Setting:
    url = request.options.cache
    assert url, "a cache with a scheme of its own"
    account = Account(url)
    identity = account.identity() if account.is_aws else None  # first: STS says why it accepts no credentials
    bucket = Bucket(account.service("s3"), url.authority, request.repository.name)
    if account.is_aws:
        account = _in_its_region(url, account, bucket)
        bucket = replace(bucket, s3=account.service("s3"))
    params = {name: value for name, value in url.params.items() if name != "profile"}  # of the person's machine
    if account.is_aws:
        params["region"] = account.region
    return Setting(
        options=request.options,
        repository=request.repository,
        account=account,
        identity=identity,
        url=replace(url, params=MappingProxyType(params)),
        bucket=bucket,
        uses_role=_uses_role(request.options, account),
    )


def _in_its_region(url: CacheUrl, account: Account, bucket: Bucket) -> Account:
    """The account in the region of the bucket, if that exists. Raises InputError if the URL names another one."""
    found = bucket.region()
    if found in {"", account.region}:
        return account
    if "region" in url.params:
        raise InputError(
            f"--cache: bucket {bucket.name} is in {found}, not {account.region}; write region={found}, or choose "
            "another name"
        )
    return Account(replace(url, params=MappingProxyType({**url.params, "region": found})))


def _uses_role(options: Options, account: Account) -> bool:
    if options.credentials == "role" and not account.is_aws:
        raise InputError(f"--credentials role: {account.server} has no roles for jobs; give --credentials keys")
    return account.is_aws and options.credentials != "keys"
