"""What AWS does with a job's id token, and moto does not: it asks the role's trust policy.

Source: "Available keys for AWS OIDC federation" and "IAM JSON policy elements: condition operators" in the IAM User
Guide. What is not known here fails the test rather than allowing anything.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

ACCOUNT = "123456789012"
# The claims of GitHub's tokens that AWS checks, of all providers the first two.
CHECKED = {
    "aud",
    "sub",
    "repository_id",
    "repository",
    "ref",
    "environment",
    "workflow",
    "job_workflow_ref",
    "actor_id",
}


def token(issuer: str, audience: str, subject: str, **claims: str) -> str:
    """An id token as a CI host gives it to a job, without a signature."""
    content = json.dumps({"iss": f"https://{issuer}", "aud": audience, "sub": subject, **claims})
    return f"e30.{base64.urlsafe_b64encode(content.encode()).decode().rstrip('=')}.e30"


def claims_of(text: str) -> Mapping[str, str] | None:
    """The claims; None for what is no such token."""
    parts = text.split(".")
    try:
        return dict(json.loads(base64.urlsafe_b64decode(f"{parts[1]}=="))) if len(parts) == 3 else None
    except (binascii.Error, ValueError):
        return None


def refusal(role_arn: str, claims: Mapping[str, str], seconds: int) -> tuple[str, str] | None:
    """Code and message of the refusal to assume a role of the account in moto; None if it is allowed."""
    from moto.iam.models import iam_backends

    iam = iam_backends[ACCOUNT]["aws"]
    issuer = claims["iss"].removeprefix("https://")
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}"
    role = next((each for each in iam.get_roles() if each.arn == role_arn), None)
    if provider not in iam.open_id_providers:
        return "InvalidIdentityToken", f"No OpenIDConnect provider found in your account for https://{issuer}"
    if claims["aud"] not in iam.open_id_providers[provider].client_id_list:
        return "InvalidIdentityToken", "Incorrect token audience"
    if role is None or not allows(json.loads(role.assume_role_policy_document), provider, issuer, claims):
        return "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"
    if seconds > int(role.max_session_duration or 3600):
        return "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    return None


def allows(policy: Mapping[str, Any], provider: str, issuer: str, claims: Mapping[str, str]) -> bool:
    """True if a statement lets this token's bearer assume the role."""
    return any(
        all(
            _fits(operator, key, wanted, issuer, claims)
            for operator, conditions in statement["Condition"].items()
            for key, wanted in conditions.items()
        )
        for statement in policy["Statement"]
        if _is_for(statement, provider)
    )


def _is_for(statement: Mapping[str, Any], provider: str) -> bool:
    assert set(statement) <= {"Sid", "Effect", "Principal", "Action", "Condition"}, statement
    assert statement["Effect"] == "Allow", "a Deny would have to be looked at first"
    return bool(
        statement["Principal"] == {"Federated": provider} and statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    )


def _fits(operator: str, key: str, wanted: str | list[str], issuer: str, claims: Mapping[str, str]) -> bool:
    prefix, _, claim = key.rpartition(":")
    assert claim in CHECKED, f"AWS does not check {claim}"
    assert operator in {"StringEquals", "StringLike"}, operator
    values = [wanted] if isinstance(wanted, str) else wanted
    return (
        prefix == issuer
        and claim in claims
        and any(
            fnmatchcase(claims[claim], value) if operator == "StringLike" else claims[claim] == value
            for value in values
        )
    )
