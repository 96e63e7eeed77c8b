"""The configuration of a managed machine: one TOML file, whose names are those of the inputs.

Root reads it when it provisions the machine; the uploader reads it, as a credential, each time it starts.
"""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ...errors import InputError
from ...nix.key_source import KeyKind, KeySource
from ...nix.secret_lines import holds_secret
from ...nix.secret_lines import is_secret as is_secret_line
from ...schemes.scheme import Scheme
from ...schemes.table import all_credentials, credential_prefixes, secret_files
from ...settings import Settings, read
from ...system.dataclass import dataclass, replace
from ...system.text import decoded
from ...uploader.environment import is_secret
from ..paths import CONFIGURATION

_ENVIRONMENT: Final = "environment"
_OF_JOBS: Final = frozenset(
    {"push", "mode", "harden", "on-upload-failure", "flush-timeout", "dry-run", "github-token"}
    | {"aws-role", "oidc-audience", "id-token"}
)
_KEY: Final = "signing-key"
_ITSELF: Final = "configuration"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The inputs, and the variables for the uploader from the table `environment`."""

    settings: Settings
    environ: Mapping[str, str]

    @property
    def secrets(self) -> dict[str, Path]:
        """The files that the uploader needs, by the names of the credentials that they become."""
        found = {_ITSELF: CONFIGURATION}
        if file := self.settings.signing_key.file:
            found[_KEY] = file
        return found | {name: Path(self.environ[name]) for name in secret_files() if name in self.environ}

    def given_as_credentials(self, directory: Path) -> Configuration:
        """The same, with the files in the directory of the uploader's credentials."""
        files = {name: str(directory / name) for name in self.secrets}
        key = KeySource.of_file(directory / _KEY) if _KEY in files else self.settings.signing_key
        return Configuration(
            settings=replace(self.settings, signing_key=key),
            environ={**self.environ, **{name: path for name, path in files.items() if name in secret_files()}},
        )

    @property
    def secret_names(self) -> list[str]:
        """The names of the settings and variables that hold a secret themselves."""
        settings = self.settings
        found = {
            _KEY: settings.signing_key.is_text,
            "cache": bool(settings.cache and settings.cache.secrets),
            "nix-url": holds_secret(settings.nix_url),
            "extra-nix-conf": any(map(is_secret_line, settings.extra_nix_conf.splitlines())),
            **{name: is_secret(name, value) for name, value in self.environ.items()},
        }
        return [name for name, secret in found.items() if secret]

    @property
    def secret_files(self) -> tuple[Path, ...]:
        """The files that only root may read."""
        return tuple(path for name, path in self.secrets.items() if name != _ITSELF or self.secret_names)

    def helpers(self) -> tuple[str, ...]:
        """The absolute paths in the commands that files of credentials name, such as AWS's `credential_process`."""
        commands: list[str] = []
        for name, file in secret_files().items():
            if file.program_key and name in self.secrets:
                lines = self.secrets[name].read_text(errors="replace").splitlines()
                commands += [line for line in lines if file.program_key in line]
        return tuple(
            word.strip("\"'") for line in commands for word in line.split() if word.strip("\"'").startswith("/")
        )

    def check_secrets(self) -> None:
        """Raise InputError if a file is missing, if others than root can change it, or read a secret in it."""
        for name, path in self.secrets.items():
            try:
                found = path.stat()
            except OSError as error:
                raise InputError(f"{CONFIGURATION}: {name}: cannot read {path}: {error.strerror}") from None
            if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise InputError(f"{path} can be changed by others than root; run chown root {path}; chmod go-w {path}")
            if path in self.secret_files and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                what = f" ({', '.join(self.secret_names)})" if name == _ITSELF else ""
                raise InputError(f"{path} holds a secret{what} and others may read it; run chmod 600 {path}")


def load(file: Path = CONFIGURATION) -> Configuration:
    """Read the file. Raises InputError with one line that names it."""
    try:
        values = tomllib.loads(decoded(file.read_bytes()))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{CONFIGURATION}: {reason}; `nix-autocache provision --help` shows an example") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{CONFIGURATION}: {error}") from None
    try:
        return _parse(values)
    except InputError as error:
        raise InputError(f"{CONFIGURATION}: {error}") from None


def _parse(values: dict[str, Any]) -> Configuration:
    environ = values.pop(_ENVIRONMENT, {})
    for name in values:
        if name in _OF_JOBS:
            raise InputError(f"{name}: only a job can set this, not a machine")
    given = {name: _text(value, name) for name, value in values.items()}
    settings = read({**given, "mode": "multi-user", "harden": "true"}, {}, {})
    if settings.cache is None or not settings.signing_key:
        raise InputError("cache and signing-key must be given")
    if settings.cache.row.kept_by_host:
        raise InputError(f"cache: {settings.cache} is kept by GitHub for the jobs of a repository; take another cache")
    if settings.cache.rotates and settings.cache.directory:
        raise InputError(f"cache: {settings.cache} is a new directory in each period, which the service cannot make")
    if settings.signing_key.kind is KeyKind.ENV:
        raise InputError("signing-key: the uploader of a machine has no environment; use file:PATH or a key in AWS")
    return Configuration(settings=settings, environ=_environment(environ, settings.cache.row))


def _text(value: Any, name: str) -> str:
    """A value as an input's text: TOML has booleans, numbers and lists too."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return " ".join(value)
    if isinstance(value, (str, int)):
        return str(value)
    raise InputError(f"{name}: {value!r} is not a text, a whole number, true, false, or a list of texts")


def _environment(table: Any, cache: Scheme) -> dict[str, str]:
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise InputError(f"{_ENVIRONMENT}: is not a table of texts")
    prefixes = "|".join(credential_prefixes(cache))
    known = re.compile(rf"({prefixes})[A-Z0-9_]+|(HTTPS?|NO)_PROXY|(NIX_)?SSL_CERT_FILE", re.IGNORECASE)
    for name in table:
        if not known.fullmatch(name):
            providers = ", ".join(each.provider for each in all_credentials() if not each.of_host)
            raise InputError(f"{_ENVIRONMENT}: {name} is no variable of {providers}, a proxy or a certificate")
    return {name: value for name, value in table.items() if value}
