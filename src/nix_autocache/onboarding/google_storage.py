"""Caches in Google's cloud: bucket and JSON key of a service account exist, and become what jobs need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError
from ..nix import period
from ..nix.store_url import CacheUrl
from . import key_secret, key_steps
from .aws.role import as_word
from .cache_setup import CACHE, GOOGLE_KEY, CacheSetup
from .storage import Request, Storage
from .values import SecretStep, VariableStep

_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_NEEDED = ("client_email", "private_key")


def plan(request: Request) -> Storage:
    """The plan for a bucket of Google's. Raises InputError if there is no JSON key, or if it is none."""
    options, repository = request.options, request.repository
    if options.credentials == "role" or options.key_in:
        raise InputError("--credentials role and --key-in aws-ssm are for caches in AWS; a gs:// cache has neither")
    if options.public:
        raise InputError(
            "--public: init does not change buckets of Google's; give allUsers the role Storage Object Viewer"
        )
    account = "" if options.undo else _account(request.environ)
    key = key_secret.plan(
        repository, options.key_name or f"{as_word(repository.name)}-1", key_steps.known(repository), options
    )
    cache = str(options.cache)
    return Storage(
        steps=(
            VariableStep(repository, CACHE, cache),  # first, so that it is the last that undo removes
            *key_steps.of_secret(repository, key),
            SecretStep(repository, GOOGLE_KEY, account),
        ),
        setup=CacheSetup(
            cache=cache,
            public_keys=tuple(map(str, key.trusted)),
            secrets=(GOOGLE_KEY,),
            branches=options.branches or (repository.default_branch,),
        ),
        notes=(
            *((f"Google service account {json.loads(account)['client_email']}",) if account else ()),
            *_rule(options.cache),
            *key.notes,
        ),
    )


def _rule(cache: CacheUrl | None) -> tuple[str, ...]:
    """What a throwaway cache needs, and `init` does not make."""
    if not cache or not cache.rotates:
        return ()
    prefix = period.common_prefix(cache.path).lstrip("/")
    return (
        f"init does not change buckets of Google's: give gs://{cache.authority} a lifecycle rule that deletes objects "
        f"whose names begin with {prefix} after {period.days_kept(cache.path)} days, see docs/caches.md",
    )


def _account(environ: Mapping[str, str]) -> str:
    """The JSON key on one line: GitHub would hide each line by itself, such as a brace. Raises InputError."""
    name, text = _FILE, environ.get(GOOGLE_KEY, "")
    if text:
        name = GOOGLE_KEY
    elif environ.get(_FILE):
        try:
            text = Path(environ[_FILE]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{_FILE}: cannot read {environ[_FILE]}: {error}") from None
    else:
        raise InputError(
            f"a gs:// cache needs the JSON key of a service account that may read and write the bucket: set {_FILE} to "
            "its file (`gcloud iam service-accounts keys create`)"
        )
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("type") != "service_account" or not all(map(found.get, _NEEDED)):
        raise InputError(
            f"{name} holds no JSON key of a service account, which has type service_account, {' and '.join(_NEEDED)}; "
            "make one by `gcloud iam service-accounts keys create`"
        )
    return json.dumps(found, separators=(",", ":"))
