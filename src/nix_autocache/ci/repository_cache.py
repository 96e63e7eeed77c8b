"""The cache that GitHub keeps for a repository, as one job may use it. GHES, Forgejo, Gitea and act have one, too.

Every ref has a scope there. A job writes its own ref's, and reads that, the one of the branch that its pull request is
for, and the default branch's. Whoever writes a branch's scope once may plant what all its later jobs restore, so code
that is not trusted writes only the scope of a pull request, whatever its token allows.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Final

from ..system.dataclass import dataclass

_PULL: Final = "refs/pull/"
_TAG: Final = "refs/tags/"
_MERGE_QUEUE: Final = "refs/heads/gh-readonly-queue/"
_UNWRITABLE: Final = frozenset({"none", "read"})  # source: config.js of @actions/cache; any other mode allows it
_UNREADABLE: Final = frozenset({"none", "write-only"})
_EVERY: Final = ""  # the scope in the tokens of Forgejo and Gitea, which keep no branches apart
_WRITE: Final = 2  # a bit of Permission
_OF_ACTIONS: Final = "every action of the job, and with `id-token: write` every step, can write GitHub's cache"
_OF_EVERY_JOB: Final = "every job of the repository can write this server's cache, whose tokens name no branch"


@dataclass(frozen=True, kw_only=True)
class RepositoryCache:
    """`unreadable` and `read_only` say why this job cannot read it, and must not write it; empty if it may.

    `writers` says in one sentence who else can write it.
    """

    unreadable: str
    read_only: str
    writers: str


def of_job(environ: Mapping[str, str], *, trusted: bool) -> RepositoryCache:
    """The cache as a job with GitHub's variables may use it; `trusted` says whether its event is."""
    mode = _mode(environ)
    return RepositoryCache(
        unreadable=_denied("read", mode) if mode in _UNREADABLE else "",
        read_only=_read_only(environ, trusted=trusted),
        writers=_OF_EVERY_JOB if _EVERY in (_writable(environ) or ()) else _OF_ACTIONS,
    )


def _read_only(environ: Mapping[str, str], *, trusted: bool) -> str:
    mode = _mode(environ)
    if mode in _UNWRITABLE:
        return _denied("write", mode)
    ref, writable = environ.get("GITHUB_REF", ""), _writable(environ)
    if ref.startswith((_TAG, _MERGE_QUEUE)):
        return f"no later job reads what is cached for {ref}"
    if writable is not None and not writable:
        return "the token of this job may not write GitHub's cache"
    branches = [scope for scope in (ref, *(writable or ())) if not scope.startswith(_PULL)]
    if branches and not trusted:
        event = environ.get("GITHUB_EVENT_NAME", "this event")
        what = "all branches" if branches[0] == _EVERY else branches[0]
        return f"{event} is not trusted, and trusted jobs read what is cached for {what}"
    return ""


def _denied(what: str, mode: str) -> str:
    return f"this job may not {what} GitHub's cache (ACTIONS_CACHE_MODE is {mode})"


def _mode(environ: Mapping[str, str]) -> str:
    return environ.get("ACTIONS_CACHE_MODE", "").strip().lower()


def _writable(environ: Mapping[str, str]) -> Collection[str] | None:
    """The scopes that the job's token may write, by its claim `ac`; None if it has none. A hint only: the service
    decides.

    Source: the README of tonistiigi/go-actions-cache.
    """
    with suppress(ValueError, KeyError, TypeError, IndexError):
        payload = environ.get("ACTIONS_RUNTIME_TOKEN", "").split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return [str(each["Scope"]) for each in json.loads(claims["ac"]) if int(each["Permission"]) & _WRITE]
    return None
