"""Every other store URL, `ssh-ng://` and `local?root=…` included: `nix copy` writes to it, one path at a time.

Such a store takes a path because of its signatures, so the path is first signed in the local store. Nix reads the key
from standard input, never from a file. Only root and trusted users of the daemon may add signatures.
"""

from __future__ import annotations

from typing import Final

from ..errors import CacheBusy, CacheError
from ..nix.keys import SecretKey
from ..nix.store import Nix, StorePath
from ..nix.store_url import CacheUrl
from ..system import process
from .protocol import Access, PathCache

_PERMANENT: Final = (
    "don't know how to open",
    "is not a valid",
    "ermission denied",
    "lacks a",
    "not supported",
    "not trusted",
)


class NixCopy(PathCache):
    """Through `nix copy --to`."""

    def __init__(self, url: CacheUrl, nix: Nix, key: SecretKey | None) -> None:
        self._nix = [nix.program("nix"), "--extra-experimental-features", "nix-command"]
        self._url = str(url)
        self._secrets = url.secrets
        self._key = key

    def copy(self, path: StorePath) -> None:
        if self._key:
            self._run("store", "sign", "--key-file", "/dev/stdin", path, stdin=str(self._key))
        self._run("copy", "--no-recursive", "--to", self._url, path)

    def _run(self, *arguments: str, stdin: str = "") -> None:
        command = [*self._nix, *arguments]
        done = process.run(command, given=stdin.encode())
        if done.status:
            kind = CacheError if any(text in done.error for text in _PERMANENT) else CacheBusy
            reason = done.reason
            for secret in self._secrets:  # Nix repeats the URL in its message
                reason = reason.replace(secret, "…")
            raise kind(f"nix {arguments[0]}: {reason}")


def open_nix_copy(url: CacheUrl, access: Access) -> NixCopy:
    """A store that only Nix can write to."""
    return NixCopy(url, access.nix, access.key)
