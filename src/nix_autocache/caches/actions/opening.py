"""Opens the Actions cache of this job, by the variables that the host gives to actions.

Which protocol, at which URL, and what this job may do is decided as in GitHub's own client: actions/toolkit,
packages/cache/src/internal/config.ts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from ...errors import CacheError, ReadOnly
from ...system.dataclass import dataclass
from ..protocol import Content
from ..redirects import Target, parse_target
from .answers import WHERE, is_link
from .service import ActionsService, Calls, Located, Part, Upload
from .transport import Transport
from .v1 import V1
from .v2 import V2

_READABLE: Final = {"none": False, "read": True, "write": True, "write-only": False}
_WRITABLE: Final = {"none": False, "read": False, "write": True, "write-only": True}


@dataclass(frozen=True)
class JobService:
    """An ActionsService. The host enforces the mode too, but a request that it denies counts against its limits."""

    calls: Calls
    transport: Transport
    mode: str

    def find(self, keys: Sequence[str]) -> Located | None:
        """See ActionsService."""
        return self.calls.find(keys) if _READABLE.get(self.mode, True) else None

    def reserve(self, key: str) -> Upload | None:
        """See ActionsService."""
        if not _WRITABLE.get(self.mode, True):
            raise ReadOnly(f"{WHERE} cannot be written by this job: its cache-mode is {self.mode}")
        return self.calls.reserve(key)

    def read(self, url: str, start: int, end: int) -> Part | None:
        """See ActionsService."""
        return self.transport.read(url, start, end)

    def stream(self, url: str, start: int, end: int) -> Content | None:
        """See ActionsService."""
        return self.transport.stream(url, start, end)

    def close_connections(self) -> None:
        """See ActionsService."""
        self.transport.close_connections()


def open_service(environ: Mapping[str, str], version: str) -> ActionsService | None:
    """The service for entries of `version`, 64 hexadecimal digits. None if this job has no Actions cache.

    Sends no request yet. Raises CacheError for variables that nobody can use.
    """
    token = environ.get("ACTIONS_RUNTIME_TOKEN", "")
    mode = environ.get("ACTIONS_CACHE_MODE", "").strip().lower()
    speaks_v2 = bool(environ.get("ACTIONS_CACHE_SERVICE_V2")) and _is_github(environ.get("GITHUB_SERVER_URL", ""))
    name = "ACTIONS_CACHE_URL" if environ.get("ACTIONS_CACHE_URL") and not speaks_v2 else "ACTIONS_RESULTS_URL"
    url = environ.get(name, "")
    if mode == "none" or not url or (speaks_v2 and not token):
        return None
    base = parse_target(url)
    if not base or not is_link(url) or "?" in url:
        raise CacheError(f"{WHERE}: {name} is no URL of a service")
    if not re.fullmatch("[!-~]*", token):
        raise CacheError(f"{WHERE}: ACTIONS_RUNTIME_TOKEN is no token")
    transport = Transport(Target(base.origin, "/") if speaks_v2 else base, token, environ)
    calls = V2(transport, version) if speaks_v2 else V1(transport, url, version)
    return JobService(calls, transport, mode)


def _is_github(server: str) -> bool:
    """True for the servers that speak v2."""
    try:
        host = urlsplit(server or "https://github.com").hostname or ""
    except ValueError:
        return False
    return host == "github.com" or host.endswith((".ghe.com", ".localhost"))
