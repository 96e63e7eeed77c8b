"""Every other store URL, `ssh-ng://` and `daemon` included: Nix itself copies, a path at a time.

Nix signs nothing here, since it would want the key in a file; such stores sign or trust by their own means.
"""

from __future__ import annotations

import subprocess

from ..errors import CacheBusy, CacheError
from ..nix.store import Nix, StorePath
from ..urls import CacheUrl

_PERMANENT = ("don't know how to open", "is not a valid", "Permission denied", "lacks a signature", "not supported")


class NixCopy:
    """A PathCache through `nix copy --to`."""

    def __init__(self, url: CacheUrl, nix: Nix) -> None:
        self._command = [
            nix.program("nix"), "--extra-experimental-features", "nix-command",
            "copy", "--no-recursive", "--to", str(url),
        ]  # fmt: skip

    def copy(self, path: StorePath) -> None:
        done = subprocess.run(
            [*self._command, path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            kind = CacheError if any(text in done.stderr for text in _PERMANENT) else CacheBusy
            raise kind(f"nix copy: {reason[0].strip()}")
