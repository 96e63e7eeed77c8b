"""Version 2 of the protocol, which github.com speaks: calls of a Twirp service, and blobs of Azure behind signed links.

Sources: actions/toolkit, packages/cache/src/generated/results/api/v1/cache.ts; Azure's "Put Block", "Put Block List".
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from ...errors import CacheBusy, CacheError, ReadOnly
from ..http1 import Response
from .answers import WHERE, error_code, link, matched, parsed
from .service import BLOCK, Located, is_found
from .transport import Transport

_SERVICE: Final = "twirp/github.actions.results.api.v1.CacheService"
_TAKEN: Final = ("exist", "reserv", "conflict")  # in messages about a key that is taken
_UNKNOWN: Final = frozenset({200, 404, 409})  # statuses of Finalize for an upload that it does not know, or knew


class V2:
    """`version` is 64 hexadecimal digits: entries of another version are never found."""

    def __init__(self, transport: Transport, version: str) -> None:
        self._transport, self._version = transport, version

    def find(self, keys: Sequence[str]) -> Located | None:
        """See ActionsService. All keys are restore keys too: some servers look for `key` itself only as a whole."""
        what = "GetCacheEntryDownloadURL"
        response = self.call(what, {"key": keys[0], "restore_keys": list(keys)})
        if response.status == 404 and error_code(response) == "not_found":
            return None
        answer = self._success(what, response)
        if not answer.get("ok"):
            return None
        key = matched(what, answer, "matched_key", keys)
        return Located(key, link(what, answer, "signed_download_url"))

    def reserve(self, key: str) -> BlobUpload | None:
        """See ActionsService."""
        what = "CreateCacheEntry"
        response = self.call(what, {"key": key})
        if response.status == 409:
            return None
        answer = self._success(what, response, writes=True)
        if answer.get("ok"):
            return BlobUpload(self, self._transport, key, link(what, answer, "signed_upload_url"))
        said = self._transport.words.message(response)
        if not said or any(word in said.lower() for word in _TAKEN):
            return None
        raise self._transport.words.refusal(what, response)

    def call(self, what: str, request: Mapping[str, object]) -> Response:
        """The response to a call of this method of the service."""
        return self._transport.post(what, f"{_SERVICE}/{what}", {}, {**request, "version": self._version})

    def _success(self, what: str, response: Response, *, writes: bool = False) -> Mapping[str, object]:
        if response.status != 200:
            raise self._transport.words.refusal(what, response, writes=writes)
        return parsed(what, response)


class BlobUpload:
    """A reservation whose blob is written block by block.

    A block is named as Azure's JavaScript SDK names it, and in ascending order, since some servers rely on that.
    """

    def __init__(self, service: V2, transport: Transport, key: str, link: str) -> None:
        self._service, self._transport, self._key, self._link = service, transport, key, link
        self._prefix = str(uuid.uuid4())
        self._tried = False  # true once the service may have finished it

    def put(self, offset: int, block: bytes) -> None:
        """See Upload."""
        name = quote(self._name(offset // BLOCK), safe="")
        self._store("Put Block", f"comp=block&blockid={name}", {}, block)

    def finish(self, size: int) -> None:
        """See Upload."""
        names = (self._name(number) for number in range(-(-size // BLOCK)))
        latest = "".join(f"<Latest>{name}</Latest>" for name in names)
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{latest}</BlockList>'
        self._store("Put Block List", "comp=blocklist", {"Content-Type": "application/xml"}, body.encode())
        self._finalize(size)

    def _finalize(self, size: int) -> None:
        """An upload is sometimes unknown at first, and an answer may have been lost: then the entry is there."""
        what = "FinalizeCacheEntryUpload"
        tried, self._tried = self._tried, True
        response = self._service.call(what, {"key": self._key, "size_bytes": str(size)})
        if response.status == 200 and parsed(what, response).get("ok"):
            return
        if tried and is_found(self._service, self._key):
            return
        refusal = self._transport.words.refusal(what, response, writes=True)
        if response.status in _UNKNOWN and not isinstance(refusal, ReadOnly):
            raise CacheBusy(f"{WHERE}: {what}: the service does not know the upload yet")
        raise refusal

    def _store(self, what: str, query: str, headers: Mapping[str, str], body: bytes) -> None:
        response = self._transport.upload(what, self._link, query, headers, body)
        if response.status == 403:
            raise CacheError(f"{WHERE}: {what}: the link to the upload is no longer accepted (HTTP status 403)")
        if response.status >= 300:
            raise self._transport.words.refusal(what, response)

    def _name(self, number: int) -> str:
        return base64.b64encode(f"{self._prefix}{number:012}".encode()).decode()
