"""The signing key as a secret of the repository. It cannot be read again: only the variable says which one it is."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..nix.keys import PublicKey
from . import signing_keys
from .cache_setup import PUBLIC_KEYS, SIGNING_KEY
from .options import Options
from .repository import Repository
from .signing_keys import KeyPlan


def plan(repository: Repository, wanted: str, known: Sequence[PublicKey], options: Options) -> KeyPlan:
    """`known` is what the variable holds, `wanted` the name of a new key.

    Raises InputError if there is a secret, and no variable that says which key it is.
    """
    if options.undo:
        return KeyPlan(new=None, trusted=tuple(known))
    if not repository.has_secret(SIGNING_KEY):
        return signing_keys.made(wanted, known)
    if not known and not options.new_key:
        raise InputError(
            f"the secret {SIGNING_KEY} is there, and no variable {PUBLIC_KEYS} says what its public key is: set the "
            "variable to it, or give --new-key to replace the secret by a new key"
        )
    if not known:
        return signing_keys.made(wanted, known)
    if options.rotate_key or options.new_key:
        return signing_keys.replaced(options.key_name, known, str(options.cache), f"env:{SIGNING_KEY}")
    return _kept(known)


def _kept(known: Sequence[PublicKey]) -> KeyPlan:
    plan = signing_keys.kept(known[0], known)
    if not signing_keys.newer(known[0], known):
        return plan
    note = (
        f"warning: a rotation of the signing key was interrupted, and jobs may sign with any key of {PUBLIC_KEYS}; "
        "all are trusted. Give --rotate-key to make a new one"
    )
    return KeyPlan(new=None, trusted=plan.trusted, notes=(note,))
