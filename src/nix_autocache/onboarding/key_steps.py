"""The steps that store a signing key and tell jobs which keys to trust, in the order that leaves no gap."""

from __future__ import annotations

from ..nix import keys
from ..nix.keys import PublicKey
from .cache_setup import PUBLIC_KEYS, SIGNING_KEY
from .repository import Repository
from .signing_keys import KeyPlan
from .steps import Step
from .values import SecretStep, VariableStep


def known(repository: Repository) -> tuple[PublicKey, ...]:
    """The public keys of the repository's variable. Raises InputError if it holds something else."""
    return keys.parse_public_keys(repository.variable(PUBLIC_KEYS) or "", f"the variable {PUBLIC_KEYS}")


def of_secret(repository: Repository, plan: KeyPlan) -> tuple[Step, ...]:
    """For a key that is a secret of the repository; the variable is first, since only it says what the secret is."""
    secret = SecretStep(repository, SIGNING_KEY, str(plan.new or ""), replace=plan.new is not None)
    if plan.first:
        return _variable(repository, plan.first), secret, _variable(repository, plan.trusted)
    return _variable(repository, plan.trusted), secret


def of_parameter(repository: Repository, plan: KeyPlan, stored: Step) -> tuple[Step, ...]:
    """For a key that is in AWS."""
    first = (_variable(repository, plan.first),) if plan.first else ()
    return *first, stored, _variable(repository, plan.trusted)


def _variable(repository: Repository, trusted: tuple[PublicKey, ...]) -> Step:
    return VariableStep(repository, PUBLIC_KEYS, " ".join(map(str, trusted)))
