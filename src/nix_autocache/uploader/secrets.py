"""The secrets of an uploader: where they are, and the one function that reads them, `SecretSources.read`.

It serves an uploader of the job's own user, of a separate user, and of a managed machine. Only a signing key that is
in AWS is read elsewhere, by the uploader itself: `caches/aws_keys.py`. A separate user gets the secrets and nobody
keeps them: files are removed, and nothing that the job's user can change later is read, such as a profile that may
name a program to run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import InputError, one_line
from ..nix.key_source import KeySource
from ..nix.keys import PublicKey
from ..nix.store_url import CacheUrl
from ..schemes import table
from ..schemes.scheme import Credentials, SecretFile
from ..system.dataclass import dataclass, field
from ..system.text import decoded
from .environment import is_secret, relevant_environment


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What an uploader is given: the signing key itself or its name in AWS, and variables with credentials."""

    key: KeySource
    environ: Mapping[str, str] = field(repr=False)

    @property
    def public_key(self) -> PublicKey | None:
        """The signing key's public half; None if only the uploader can read the key, or there is none."""
        return self.key.public_key


@dataclass(frozen=True)
class SecretSources:
    """Where the secrets are that uploads to `url` need: the signing key, variables, and files that these name."""

    url: CacheUrl
    key: KeySource
    environ: Mapping[str, str] = field(repr=False)

    def read(self, *, and_remove_files: bool = False) -> Secrets:
        """Read them; for a separate user, then remove the files that they came in.

        Raises InputError for a key or a file that cannot be read, before any file is removed.
        """
        key = self.key.resolved(self.environ)
        given = relevant_environment(self.environ, self.url.row)
        if not and_remove_files:
            return Secrets(key=key, environ=given)
        given |= self._credentials_in_files(given)
        for path in self._files:
            path.unlink(missing_ok=True)
        of_user = {"HOME", *table.secret_files(), *(each.profile for each in table.all_credentials())}
        return Secrets(key=key, environ={name: value for name, value in given.items() if name not in of_user})

    def as_text(self) -> list[str]:
        """The names of the secrets that stand in an input or a variable, where more than the uploader can see them.

        Not those that the CI host gives to each action anyway: they cannot be in another place.
        """
        names = ["signing-key"] if self.key.is_text else []
        prefixes = tuple(prefix for each in self._credentials if not each.of_host for prefix in each.variables)
        variables = sorted(name for name in self.environ if name.startswith(prefixes))
        names += [name for name in variables if is_secret(name, self.environ[name])]
        return [*names, "the password in `cache`"] if self.url.secrets else names

    def files_that_stay(self) -> Iterator[str]:
        """Files with secrets that would still be readable if they were removed here."""
        for path in self._files:
            if path.exists() and (path.stat().st_nlink > 1 or path.is_symlink() or not os.access(path.parent, os.W_OK)):
                yield f"the secret in {path} cannot be taken away: is it the only link, in a directory of its user?"
        for name in (name for each in self._credentials for name in each.token_files):
            if (file := self.environ.get(name)) and os.access(file, os.R_OK):
                yield f"the job's user can read the token in {file}, which {name} names"

    def _credentials_in_files(self, given: Mapping[str, str]) -> dict[str, str]:
        """The credentials in the files that variables name, as variables."""
        found: dict[str, str] = {}
        for each in self._credentials:
            profile = self.url.params.get("profile") or given.get(each.profile) or "default"
            for file in each.secret_files:
                if given.get(file.variable):
                    found |= _variables(file, Path(given[file.variable]), profile)
        return found

    @property
    def _files(self) -> list[Path]:
        """The files whose content the uploader is given."""
        names = [file.variable for each in self._credentials for file in each.secret_files if _is_taken(file)]
        files = [Path(self.environ[name]) for name in names if self.environ.get(name)]
        return [*filter(None, [self.key.file]), *files]

    @property
    def _credentials(self) -> list[Credentials]:
        return table.needed_credentials(self.url.row, key_in_aws=self.key.is_in_aws)


def _is_taken(file: SecretFile) -> bool:
    return bool(file.text_variable or file.value_variables)


def _variables(file: SecretFile, path: Path, profile: str) -> dict[str, str]:
    """The content of a file of secrets, as the variables that can hold it instead."""
    found = {file.text_variable: _read(path)} if file.text_variable else {}
    return found | _section(path, profile, file.value_variables) if file.value_variables else found


def _section(path: Path, profile: str, variables: Sequence[str]) -> dict[str, str]:
    """The values of a section of an INI file; names there are in lower case."""
    import configparser

    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(_read(path))
        section = parser[profile]
        found = {name: section[name] for name in variables if name in section}
    except (configparser.Error, KeyError) as error:
        raise InputError(f"{path}: no profile {profile}: {one_line(error)}") from None
    if variables[0] not in found:  # or the machine's own role would be asked instead
        raise InputError(f"{path}: profile {profile} has no {variables[0].lower()}; harden takes nothing else")
    return found


def _read(path: Path) -> str:
    try:
        return decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the credentials in {path}: {error}") from None
