"""Caches in S3: AWS with a role or an access key, and other servers that speak S3, with an access key."""

from __future__ import annotations

from collections.abc import Sequence

from ...nix import period
from ...nix.key_source import KeySource
from .. import key_secret, key_steps
from ..cache_setup import ACCESS_KEY, CACHE, ROLE, CacheSetup
from ..repository import Subject
from ..signing_keys import KeyPlan
from ..steps import Step
from ..storage import Request, Storage
from ..values import SecretStep, VariableStep
from . import key_parameter, policies
from .bucket import BucketStep
from .bucket_access import PrivateStep, PublicStep
from .bucket_rules import UNFINISHED, RuleStep, of_periods
from .key_parameter import Parameter, ParameterStep
from .oidc_provider import ProviderStep
from .role import RoleStep, as_word, name_for
from .setting import Setting, setting_of


def plan(request: Request) -> Storage:
    """The plan for a cache in S3. Changes nothing. Raises Error, or InputError for flags that do not fit."""
    setting = setting_of(request)
    source = setting.key_source()
    key, key_part = _key_part(setting, source)
    subject = setting.repository.subject(setting.branches) if setting.uses_role else None
    role, credentials = _role_part(setting, source, subject) if subject else ("", _access_key(setting))
    return Storage(
        steps=(
            VariableStep(
                setting.repository, CACHE, str(setting.url)
            ),  # first, so that it is the last that undo removes
            *_bucket_part(setting),
            *key_part,
            *credentials,
        ),
        setup=CacheSetup(
            cache=str(setting.url),
            public_keys=tuple(map(str, key.trusted)),
            key_source=str(source),
            role=role,
            secrets=() if role else ACCESS_KEY,
            audience=subject.audience if subject else CacheSetup.audience,
            branches=setting.branches,
        ),
        notes=(*_notes(setting, subject), *key.notes),
    )


def _bucket_part(setting: Setting) -> Sequence[Step]:
    bucket, url, is_public = setting.bucket, setting.url, setting.options.public
    made: list[Step] = [BucketStep(bucket, setting.account.region), RuleStep(bucket, UNFINISHED)]
    if url.rotates:
        made.append(RuleStep(bucket, of_periods(url.path)))
    if is_public or (setting.options.undo and not setting.account.is_aws):
        made.append(PublicStep(bucket, policies.public_read(setting.partition, bucket.name, period.pattern(url.path))))
    elif setting.account.is_aws:
        made.append(PrivateStep(bucket))
    return made


def _key_part(setting: Setting, source: KeySource) -> tuple[KeyPlan, Sequence[Step]]:
    repository = setting.repository
    wanted = setting.options.key_name or f"{as_word(repository.name)}-1"
    known = key_steps.known(repository)
    if not source:
        key = key_secret.plan(repository, wanted, known, setting.options)
        return key, key_steps.of_secret(repository, key)
    parameter = Parameter(setting.account.service("ssm"), source.name, repository.name)
    key = key_parameter.plan(parameter, wanted, known, setting.options)
    old = key.trusted[1:] if key.first else ()
    return key, key_steps.of_parameter(repository, key, ParameterStep(parameter, setting.bucket, key.new, old))


def _role_part(setting: Setting, source: KeySource, subject: Subject) -> tuple[str, Sequence[Step]]:
    """The role's ARN, and the steps that make it and its identity provider."""
    repository, iam, owner = setting.repository, setting.account.service("iam"), setting.repository.name
    provider = setting.arn("iam", f"oidc-provider/{subject.issuer}")
    parameter = setting.arn("ssm", f"parameter/{source.name.lstrip('/')}") if source else ""
    trust = policies.trust(provider, subject)
    push = policies.push(setting.partition, setting.bucket.name, period.pattern(setting.url.path), parameter)
    role = RoleStep(iam, name_for(owner), owner, trust, push, subject.session)
    arn = setting.arn("iam", f"role/{role.name}")
    return arn, (
        ProviderStep(iam, provider, subject.issuer, subject.audience, owner),
        role,
        VariableStep(repository, ROLE, arn),
    )


def _access_key(setting: Setting) -> Sequence[Step]:
    """The access key at hand as secrets of the repository."""
    if setting.options.undo:
        return [SecretStep(setting.repository, name, "") for name in ACCESS_KEY]
    key = setting.account.access_key()
    pairs = zip(ACCESS_KEY, (key.name, key.secret), strict=True)
    return [SecretStep(setting.repository, name, value) for name, value in pairs]


def _notes(setting: Setting, subject: Subject | None) -> Sequence[str]:
    said = [subject.warning] if subject and subject.warning else []
    if setting.identity:
        said.insert(0, f"AWS account {setting.identity.account}, as {setting.identity.arn}")
    if setting.options.public and not setting.repository.is_public:
        said.append(
            f"warning: {setting.repository.name} is private, and with --public everybody who learns a path's hash may "
            "read what its jobs build, sources often included"
        )
    if not subject:
        said.append(
            f"the access key that you use for {setting.account.server} becomes a secret of the repository, and jobs "
            f"can do all that it can: let it read and write bucket {setting.bucket.name}, and no more"
        )
    return said
