"""Every way this program can fail, a class per exit code.

A message says what failed and what to do about it, on one line. Errors are raised where they happen
and caught in `cli`, and per store path in the uploader; nowhere else.
"""

from __future__ import annotations

import math
import re
from typing import Final

# A secret key, `name:base64` or without its name, and what stands before the host of a URL. An input that somebody
# mistook for another is repeated in the message on it.
_SECRETS: Final = re.compile(r"(?<=:)(?!/)[A-Za-z0-9+/]{65,}=*|[A-Za-z0-9+/]{86}==|(?<=://)[^\s/@]+(?=@)")


class Error(Exception):
    """Something failed that the job can go on without. Keys, and passwords in URLs, are taken out of its message."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(without_secrets(message))


class InputError(Error):
    """An input, a flag or an environment variable has a value that cannot be used."""

    exit_code = 2


class RunnerError(Error):
    """This machine cannot do what was asked of it."""

    exit_code = 3


class DeadlineError(Error):
    """The flush ended before the queue was dry."""

    exit_code = 4


class CacheError(Error):
    """The cache refused a request, and asking again would not help."""


class CredentialsError(CacheError):
    """The cache does not accept our credentials, or does not any more."""


class CacheBusy(Error):  # noqa: N818 - a state, not a mistake
    """The cache did not answer, or cannot at the moment; asking again after `retry_after` seconds may help."""

    longest = math.inf  # seconds for which it may help

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreError(Error):
    """Nix does not have a path, or its content is not what Nix registered."""


_LONGEST: Final = 500  # characters of a message


def without_secrets(text: str) -> str:
    """The text without what looks like a secret key, or like the password of a URL."""
    return _SECRETS.sub("…", text)


def one_line(error: BaseException) -> str:
    """The first line of an error, with nothing in it that cannot be printed: libraries append whole debug dumps to
    theirs, and Nix, caches and file names bring bytes of any kind."""
    lines = without_secrets(str(error)).strip().splitlines()
    text = lines[0].strip()[:_LONGEST] if lines else type(error).__name__
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def as_error(error: BaseException) -> Error:
    """An error of this family. One that is not is a bug, or a library's: its type is said with it."""
    return error if isinstance(error, Error) else Error(f"{type(error).__name__}: {one_line(error)}")
