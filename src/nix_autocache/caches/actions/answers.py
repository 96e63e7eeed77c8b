"""What the service answers: parsed, or turned into the error that it stands for.

An answer may be wrong in every byte, and may repeat links and the token, which end up in logs through messages.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NoReturn
from urllib.parse import urljoin

from ...errors import CacheError, Error, ReadOnly
from ...system import flat_json
from ...system.dataclass import dataclass, field
from ...system.net import seconds_to_wait
from ..http1 import NoCacheError, Response
from ..http_status import connection_error, status_error
from ..redirects import parse_target

WHERE: Final = "the Actions cache"
_LONGEST_LINK: Final = 8192  # characters
_LONGEST_MESSAGE: Final = 200
_SECRET: Final = re.compile(r"\S*(?://|sig=|eyJ)\S*", re.IGNORECASE)  # links, signatures, tokens
# Sources: @actions/cache 6.3.0, cache.js and internal/shared/errors.js.
_NO_WRITING: Final = ("cache write denied", "insufficient usage")


@dataclass(frozen=True)
class Words:
    """Turns what a server says into messages. `secrets` are removed from them, wherever they come from."""

    secrets: Collection[str] = field(repr=False)

    def clean(self, text: str) -> str:
        """At most a line of it, printable, without links and secrets."""
        for secret in self.secrets:
            text = text.replace(secret, "…")
        words = _SECRET.sub("…", " ".join(text.split()))
        return "".join(letter for letter in words if letter.isprintable())[:_LONGEST_MESSAGE]

    def refusal(self, what: str, response: Response, *, writes: bool = False) -> Error:
        """The error for a response that is no success. `writes` is true for a request that needs the right to write."""
        said = self.message(response)
        if any(words in said.lower() for words in _NO_WRITING) or (writes and response.status == 403):
            return ReadOnly(f"{WHERE} cannot be written by this job: {said or f'HTTP status {response.status}'}")
        if response.status < 300:
            return CacheError(f"{WHERE} refused {what}: {said or 'it does not say why'}")
        reason = f"HTTP status {response.status} {self.clean(response.reason)}".rstrip() + (f": {said}" if said else "")
        return status_error(WHERE, what, response.status, reason, seconds_to_wait(response.headers.get("retry-after")))

    def message(self, response: Response) -> str:
        """The message in a response, if it is JSON and has one; v1 calls it `message`, Twirp `msg`."""
        answer = _parsed(response.content) or {}
        found = answer.get("msg") or answer.get("message") or ""
        return self.clean(found) if isinstance(found, str) else ""


def error_code(response: Response) -> object:
    """The code of an error of Twirp, such as `not_found`."""
    return (_parsed(response.content) or {}).get("code")


def parsed(what: str, response: Response) -> Mapping[str, object]:
    """The JSON object in a successful response. Raises CacheError."""
    answer = _parsed(response.content)
    return surprise(what, "its answer is no JSON object") if answer is None else answer


def link(what: str, answer: Mapping[str, object], name: str, base: str = "") -> str:
    """The link under this name, which may be relative to `base`. Raises CacheError."""
    url = answer.get(name)
    try:
        absolute = urljoin(base, url) if isinstance(url, str) and url else ""
    except ValueError:  # such as half an IPv6 address
        absolute = ""
    if not is_link(absolute):
        surprise(what, f"its answer has no link in {name}")
    return absolute


def matched(what: str, answer: Mapping[str, object], name: str, keys: Sequence[str]) -> str:
    """The key under this name, which begins with one of `keys`. Raises CacheError."""
    key = answer.get(name)
    if not isinstance(key, str) or not key.startswith(tuple(keys)):
        surprise(what, f"its answer has a key in {name} that was not asked for")
    return key


def is_link(url: str) -> bool:
    """True for an HTTP URL that can be asked as it stands."""
    target = parse_target(url)
    if not target or len(url) > _LONGEST_LINK or not re.fullmatch("[!-~]+", url):
        return False
    try:
        target.origin.encode("idna")
    except UnicodeError:
        return False
    return True


def surprise(what: str, problem: str) -> NoReturn:
    """Raise CacheError for an answer that the protocol does not have."""
    raise CacheError(f"{WHERE}: {what}: {problem}")


def broken(what: str, error: OSError) -> Error:
    """The error for a request without a response."""
    if isinstance(error, NoCacheError):
        return CacheError(f"{WHERE}: {what}: {error}")
    return connection_error(WHERE, what, error)


def _parsed(content: bytes) -> dict[str, object] | None:
    try:
        answer = flat_json.parse(content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
