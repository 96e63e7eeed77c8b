"""The input `signing-key`, parsed once: the secret key itself, or where to find it.

The uploader reads a key in AWS (`caches/aws_keys.py`), since only it has the credentials. All others are read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from ..errors import InputError
from ..system.dataclass import dataclass, field
from ..system.text import decoded
from .keys import PublicKey, SecretKey, parse_secret


class KeyKind(StrEnum):
    """The ways to give the secret key; those with a name before the colon are written `KIND:NAME`."""

    NONE = ""
    LITERAL = "literal"
    FILE = "file"
    ENV = "env"
    SSM = "aws-ssm"
    SECRETS_MANAGER = "aws-secretsmanager"


_AWS = (KeyKind.SSM, KeyKind.SECRETS_MANAGER)
_REFERENCES = (KeyKind.FILE, KeyKind.ENV, *_AWS)


@dataclass(frozen=True)
class KeySource:
    """The input `signing-key`: the key itself, or where it is. False if there is none.

    `name` is a path, a variable, a name or ARN in AWS, or the text of the key. A literal is checked when it is read.
    """

    kind: KeyKind = KeyKind.NONE
    name: str = field(default="", repr=False)

    @staticmethod
    def parse(text: str) -> KeySource:
        prefix, _, name = text.partition(":")
        if name and prefix in _REFERENCES:
            return KeySource(KeyKind(prefix), name)
        return KeySource(KeyKind.LITERAL, text) if text else KeySource()

    @staticmethod
    def of_file(path: Path) -> KeySource:
        return KeySource(KeyKind.FILE, str(path))

    @staticmethod
    def of_key(key: SecretKey) -> KeySource:
        return KeySource(KeyKind.LITERAL, str(key))

    def __bool__(self) -> bool:
        return self.kind is not KeyKind.NONE

    def __str__(self) -> str:
        """As the input is written. It may be the key: never print it."""
        return f"{self.kind}:{self.name}" if self.kind in _REFERENCES else self.name

    @property
    def is_in_aws(self) -> bool:
        """True if only the uploader can read the key, with its AWS credentials."""
        return self.kind in _AWS

    @property
    def is_text(self) -> bool:
        """True if the key stands in an input or a variable, which more processes than the uploader can see."""
        return self.kind in {KeyKind.LITERAL, KeyKind.ENV}

    @property
    def file(self) -> Path | None:
        return Path(self.name) if self.kind is KeyKind.FILE else None

    def read(self, environ: Mapping[str, str]) -> SecretKey:
        """The key. Not for a key in AWS: `caches/aws_keys.py` reads it.

        Raises InputError, which never repeats the key, if the file or variable is missing or holds no secret key.
        """
        match self.kind:
            case KeyKind.FILE:
                try:
                    text = decoded(Path(self.name).read_bytes())
                except (OSError, UnicodeDecodeError) as error:
                    # Without the path in it: a key that was given as one has lost a slash there, and is not recognised.
                    reason = getattr(error, "strerror", None) or error
                    raise InputError(f"signing-key: cannot read {self.name}: {reason}") from None
                return parse_secret(text, name=f"signing-key: {self.name}")
            case KeyKind.ENV:
                if not environ.get(self.name):
                    raise InputError(f"signing-key: the environment has no variable {self.name}")
                return parse_secret(environ[self.name], name=f"signing-key: {self.name}")
            case _:
                return parse_secret(str(self))

    @property
    def public_key(self) -> PublicKey | None:
        """The public half of a key that was resolved; None for one in AWS, and where there is none."""
        return self.read({}).public if self and not self.is_in_aws else None

    def resolved(self, environ: Mapping[str, str]) -> KeySource:
        """This source with the key itself instead of a file or variable. Raises InputError as `read`."""
        return KeySource.of_key(self.read(environ)) if self and not self.is_in_aws else self
