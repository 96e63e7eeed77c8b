"""The flags of `nix-autocache init`, parsed and checked against each other."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Final, Literal, get_args

from ..errors import InputError
from ..nix.key_source import KeyKind, KeySource
from ..nix.store_url import CacheUrl, parse_cache_url
from ..system.dataclass import dataclass

Credentials = Literal["role", "keys"]
Period = Literal["week", "month"]

_REPOSITORY: Final = re.compile(r"[\w.-]+(/[\w.-]+)+", re.ASCII)
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)
_BRANCH: Final = re.compile(
    r"[^\s~^:?*\[\\\x00-\x1f\x7f/-][^\s~^:?*\[\\\x00-\x1f\x7f]*(?<![./])"
)  # git-check-ref-format(1)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user asked for; an empty text or None is "as it fits". `host` is a row of `hosts.HOSTS`."""

    repository: str
    host: str
    cache: CacheUrl | None
    credentials: Credentials | None
    key_name: str
    key_in: KeySource | None  # in AWS, or an empty source: the repository's secret
    branches: tuple[str, ...]
    public: bool
    action_ref: str
    rotate: Period | None
    new_key: bool
    rotate_key: bool
    undo: bool

    @staticmethod
    def of_flags(flags: SimpleNamespace) -> Options:
        """Raises InputError, which names the flag."""
        credentials = flags.credentials or None
        if credentials not in {None, *get_args(Credentials)}:
            raise InputError(f"--credentials: {credentials!r} is neither role nor keys")
        rotate = flags.rotate or None
        if rotate not in {None, *get_args(Period)}:
            raise InputError(f"--rotate: {rotate!r} is neither week nor month")
        return Options(
            repository=_matching("--repository", flags.repository, _REPOSITORY, "OWNER/NAME"),
            host=flags.host or "",
            cache=parse_cache_url(flags.cache, name="--cache") if flags.cache else None,
            credentials=credentials,
            key_name=_matching("--key-name", flags.key_name, _KEY_NAME, "a name such as cache.example.org-1"),
            key_in=_key_in(flags.key_in) if flags.key_in else None,
            branches=tuple(map(_branch, flags.branch or ())),
            public=flags.public,
            action_ref=_matching("--action-ref", flags.action_ref, _COMMIT, "a commit of 40 hexadecimal digits"),
            rotate=rotate,
            new_key=flags.new_key,
            rotate_key=flags.rotate_key,
            undo=flags.undo,
        )


def _branch(text: str) -> str:
    """A branch's name: a pattern would match no job's id token, and a role may trust no more than was named."""
    name = text.removeprefix("refs/heads/")
    if not _BRANCH.fullmatch(name) or ".." in name:
        raise InputError(f"--branch: {text!r} is not the name of one branch; give the flag for each branch")
    return name


def _matching(flag: str, text: str | None, pattern: re.Pattern[str], wanted: str) -> str:
    if text and not pattern.fullmatch(text):
        raise InputError(f"{flag}: {text!r} is not {wanted}")
    return text or ""


def _key_in(text: str) -> KeySource:
    if text == "secret":
        return KeySource()
    source = KeySource.parse(text)
    if source.kind is not KeyKind.SSM:
        raise InputError(
            "--key-in: give aws-ssm:/NAME, for a parameter in AWS, or secret, for a secret of the repository"
        )
    return source
