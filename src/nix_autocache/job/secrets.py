"""The job's secrets on their way to an uploader of its own user: where they were, and that nobody else keeps them.

What came in a file is read once and the file removed. Nothing that the job's user can change later is read by the
uploader: a profile of AWS's configuration, for one, may name a program to run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..errors import InputError, one_line
from ..nix.key_source import KeySource
from ..schemes import Scheme, scheme
from ..system.text import decoded
from ..uploader.environment import is_secret, relevant_environment
from .destination import Destination

_AWS_FILE: Final = "AWS_SHARED_CREDENTIALS_FILE"
_GOOGLE_FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_TAKEN: Final = frozenset({_AWS_FILE, _GOOGLE_FILE})
_AWS_NAMES: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_LEFT_OUT: Final = frozenset({"HOME", "AWS_PROFILE", "AWS_CONFIG_FILE", _AWS_FILE, _GOOGLE_FILE})


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What the uploader is given, and nobody has any more."""

    key: KeySource
    environ: Mapping[str, str] = field(repr=False)


def as_text(place: Destination, environ: Mapping[str, str]) -> list[str]:
    """The names of the secrets that stand in an input or a variable, where more than the uploader can see them."""
    names = ["signing-key"] if place.key_source.is_text else []
    prefixes = tuple(prefix for row in _rows(place) for prefix in row.variables)
    names += [name for name in sorted(environ) if name.startswith(prefixes) and is_secret(name, environ[name])]
    return [*names, "the password in `cache`"] if place.url.secrets else names


def files_that_stay(place: Destination, environ: Mapping[str, str]) -> Iterator[str]:
    """Files with secrets that removing would not take out of the world."""
    for path in _files(place, environ):
        if path.exists() and (path.stat().st_nlink > 1 or path.is_symlink() or not os.access(path.parent, os.W_OK)):
            yield f"the secret in {path} cannot be taken away: is it the only link, in a directory of its user?"
    for name in (name for row in _rows(place) for name in row.token_files):
        if environ.get(name) and os.access(environ[name], os.R_OK):
            yield f"the job's user can read the token in {environ[name]}, which {name} names"


def take(place: Destination, environ: Mapping[str, str]) -> Secrets:
    """Read the secrets, and remove the files that they came in. Raises InputError when one cannot be had."""
    given = dict(relevant_environment(environ))
    if any(row.cloud == "aws" for row in _rows(place)) and given.get(_AWS_FILE):
        given.update(_aws_profile(Path(given[_AWS_FILE]), place.url.params.get("profile") or given.get("AWS_PROFILE")))
    if place.url.scheme == "gs" and given.get(_GOOGLE_FILE):
        given["GOOGLE_SERVICE_ACCOUNT_KEY"] = _read(Path(given[_GOOGLE_FILE]))
    key = place.signing_key(environ)
    for path in _files(place, environ):
        path.unlink(missing_ok=True)
    kept = {name: value for name, value in given.items() if name not in _LEFT_OUT}
    return Secrets(key=key, environ=kept)


def _files(place: Destination, environ: Mapping[str, str]) -> list[Path]:
    files = [place.key_source.file]
    for row in _rows(place):
        files += [Path(environ[name]) for name in row.secret_files if name in _TAKEN and environ.get(name)]
    return [path for path in files if path]


def _rows(place: Destination) -> list[Scheme]:
    """What the uploader takes secrets for: the cache, and AWS if the key is there."""
    key = [scheme("s3")] if place.key_source.is_in_aws and place.url.scheme != "s3" else []
    return [place.url.row, *key]


def _aws_profile(path: Path, profile: str | None) -> dict[str, str]:
    import configparser

    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(_read(path))
        section = parser[profile or "default"]
        found = {name.upper(): section[name] for name in _AWS_NAMES if name in section}
    except (configparser.Error, KeyError) as error:
        raise InputError(f"{path}: no profile {profile or 'default'}: {one_line(error)}") from None
    if "AWS_ACCESS_KEY_ID" not in found:  # or the machine's own role would be asked instead
        raise InputError(f"{path}: profile {profile or 'default'} has no aws_access_key_id; harden takes nothing else")
    return found


def _read(path: Path) -> str:
    try:
        return decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the credentials in {path}: {error}") from None
