"""Signing keys that are in AWS: in Systems Manager's Parameter Store or in Secrets Manager."""

from __future__ import annotations

from ..nix.key_source import KeyKind, KeySource
from ..nix.keys import SecretKey, parse_secret
from .aws_client import client, translated_errors
from .aws_credentials import AwsCredentials


def secret_key(source: KeySource, credentials: AwsCredentials, region: str) -> SecretKey:
    """The signing key at `aws-ssm:NAME` or `aws-secretsmanager:NAME`; a NAME may be an ARN.

    Raises InputError if it is missing or is no key, CredentialsError if it may not be read, or CacheBusy.
    """
    name = source.name
    region = name.split(":")[3] if name.startswith("arn:") and name.count(":") > 4 else region
    read = {KeyKind.SSM: _parameter, KeyKind.SECRETS_MANAGER: _secret}[source.kind]
    with translated_errors(f"signing-key: {source} in {region}"):
        text = read(name, credentials, region)
    return parse_secret(text, name=f"signing-key: {source}")


def _parameter(name: str, credentials: AwsCredentials, region: str) -> str:
    answer = client("ssm", region, credentials.frozen()).get_parameter(Name=name, WithDecryption=True)
    return str(answer["Parameter"]["Value"])


def _secret(name: str, credentials: AwsCredentials, region: str) -> str:
    answer = client("secretsmanager", region, credentials.frozen()).get_secret_value(SecretId=name)
    return str(answer.get("SecretString", ""))
