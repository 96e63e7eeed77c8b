"""The errors of this program. A message says on one line what failed and what to do about it.

They are caught in `cli`, and in processes of our own; docs/contributing.md has the rule.
"""

from __future__ import annotations

import math
import re
from typing import Final

# A secret key, with or without its name, and the login in a URL. A message may repeat an input, and people may give a
# secret in the wrong input.
_SECRETS: Final = r"(?<=:)(?!/)[A-Za-z0-9+/]{65,}=*|[A-Za-z0-9+/]{86}==|(?<=://)[^\s/@]+(?=@)"


class Error(Exception):
    """A failure. Secret keys and logins of URLs are removed from the message."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(without_secrets(message))


class InputError(Error):
    """An input, a flag or an environment variable has a value that cannot be used."""

    exit_code = 2


class RunnerError(Error):
    """This machine cannot do what the inputs ask for."""

    exit_code = 3


class DeadlineError(Error):
    """The flush ended before the queue was empty."""

    exit_code = 4


class CacheError(Error):
    """The cache refused a request, and a retry would not help."""


class CredentialsError(CacheError):
    """The cache does not accept our credentials, or no longer does."""


class ReadOnly(CacheError):  # noqa: N818 - a state, not a mistake
    """The cache lets this job read, and not write: nothing is wrong, and nothing is pushed."""


class CacheBusy(Error):  # noqa: N818 - a state, not a mistake
    """The cache is unavailable at the moment. A retry after `retry_after` seconds may help."""

    longest = math.inf  # seconds after which retries are pointless
    advice = ""  # what is then said with it

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreError(Error):
    """Nix has no such path, or its content differs from Nix's database."""


_LONGEST: Final = 500  # characters of a message


def without_secrets(text: str) -> str:
    """The text without anything that looks like a secret key or like the login of a URL."""
    return re.sub(_SECRETS, "…", text)


def one_line(error: BaseException) -> str:
    """The first line of an error, printable: libraries append debug dumps, and file names may have any bytes."""
    lines = without_secrets(str(error)).strip().splitlines()
    text = lines[0].strip()[:_LONGEST] if lines else type(error).__name__
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def as_error(error: BaseException) -> Error:
    """The error itself, or one of this family with the type's name for any other: it is a bug or a library's."""
    return error if isinstance(error, Error) else Error(f"{type(error).__name__}: {one_line(error)}")
