"""Version 1 of the protocol, which act, Forgejo, Gitea and GitHub Enterprise Server speak.

Source: actions/toolkit, packages/cache/src/internal/cacheHttpClient.ts. act's server takes no token, gives a taken key
again, and finds any of the entries that were made in the same second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from .answers import link, matched, parsed, surprise
from .service import Located, is_found
from .transport import Transport

_PATH: Final = "_apis/artifactcache"
_ACCEPT: Final = {"Accept": "application/json;api-version=6.0-preview.1"}


class V1:
    """The service at `base`, a URL. `version` is 64 hexadecimal digits: entries of another version are never found."""

    def __init__(self, transport: Transport, base: str, version: str) -> None:
        self._transport, self._base, self._version = transport, base, version

    def find(self, keys: Sequence[str]) -> Located | None:
        """See ActionsService."""
        what = "looking for an entry"
        path = f"{_PATH}/cache?keys={quote(','.join(keys), safe='')}&version={self._version}"
        response = self._transport.call(what, "GET", path, _ACCEPT)
        if response.status == 204:
            return None
        if response.status != 200:
            raise self._transport.words.refusal(what, response)
        answer = parsed(what, response)
        key = matched(what, answer, "cacheKey", keys)
        return Located(key, link(what, answer, "archiveLocation", self._base))

    def reserve(self, key: str) -> FileUpload | None:
        """See ActionsService."""
        what = "reserving an entry"
        response = self._transport.post(what, f"{_PATH}/caches", _ACCEPT, {"key": key, "version": self._version})
        if response.status == 409:
            return None
        if response.status >= 300:
            raise self._transport.words.refusal(what, response, writes=True)
        number = parsed(what, response).get("cacheId")
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            surprise(what, "its answer has no number in cacheId")
        return FileUpload(self, self._transport, key, f"{_PATH}/caches/{number}")


class FileUpload:
    """A reservation whose file is written at offsets, in any order."""

    def __init__(self, service: V1, transport: Transport, key: str, path: str) -> None:
        self._service, self._transport, self._key, self._path = service, transport, key, path

    def put(self, offset: int, block: bytes) -> None:
        """See Upload."""
        what = "uploading a block"
        span = f"bytes {offset}-{offset + len(block) - 1}/*"
        headers = {"Content-Type": "application/octet-stream", "Content-Range": span, **_ACCEPT}
        response = self._transport.call(what, "PATCH", self._path, headers, block)
        if response.status >= 300:
            raise self._transport.words.refusal(what, response, writes=True)

    def finish(self, size: int) -> None:
        """See Upload. An answer may have been lost: then the entry is there."""
        what = "finishing an entry"
        response = self._transport.post(what, self._path, _ACCEPT, {"size": size})
        if response.status >= 300 and not is_found(self._service, self._key):
            raise self._transport.words.refusal(what, response, writes=True)
