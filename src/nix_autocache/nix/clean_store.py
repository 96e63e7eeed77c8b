"""A store of its own in a directory, with nothing in it, for trying what a Nix takes from a cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..system import process
from ..system.dataclass import dataclass
from ..system.process import Finished
from .keys import PublicKey
from .store import Nix, StorePath

_LONGEST = 60.0  # seconds


@dataclass(frozen=True)
class CleanStore:
    """A chroot store of `nix` below `root`, which must be a directory of this user's. It needs no daemon."""

    nix: Nix
    root: Path

    def fetch(self, path: StorePath, cache: Path, keys: Sequence[PublicKey]) -> Finished:
        """Copy a path and its closure from the binary cache in a directory, trusting these keys and no others."""
        options = {
            "require-sigs": "true",
            "trusted-public-keys": " ".join(map(str, keys)),
            "extra-trusted-public-keys": "",
            "secret-key-files": "",
            "build-users-group": "",  # root's Nix would look for it
            "substituters": "",
        }
        given = [word for name, value in options.items() for word in ("--option", name, value)]
        command = [self.nix.program("nix"), "--extra-experimental-features", "nix-command", "copy", *given]
        command += ["--from", f"file://{cache}", "--to", f"local?root={self.root}", path]
        return process.run(command, environ=self._environ, timeout=_LONGEST)

    def content(self, path: StorePath) -> bytes | None:
        """A path that is a file; None if it is not in this store."""
        file = Path(f"{self.root}{path}")
        return file.read_bytes() if file.is_file() else None

    @property
    def _environ(self) -> dict[str, str]:
        """No configuration of a user, and no memory of what other caches lack."""
        return {"HOME": str(self.root), "NIX_USER_CONF_FILES": "", "NIX_REMOTE": "", "PATH": str(self.nix.bin)}
