"""Nix from a release tarball, where there is none: downloaded, checked, unpacked, registered.

Standard library only: this runs while the environment of the rest is being made. A release tarball holds
`nix-VERSION-SYSTEM/{.reginfo,store/…}`; `.reginfo` is what `nix-store --load-db` reads.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..errors import InputError, RunnerError
from ..settings import PINNED_NIX, Settings
from .store import Nix

ROOT: Final = Path("/nix")
PROFILE: Final = ROOT / "var/nix/profiles/default"
CERTIFICATES: Final = ROOT / "var/nix/profiles/nix-autocache-cacert"
PARTS: Final = (ROOT / "store", ROOT / "var")  # what is made inside a /nix that was there
_PUBLISHER: Final = "https://releases.nixos.org/nix"
_TIMEOUT: Final = 30.0  # seconds without a byte
_PIECE: Final = 1 << 20

# Found in two independent public sources each.
_SHA256: Final = {
    "nix-2.34.7-x86_64-linux": "eafe5042404e818505e28c5ca3d0885f3ec45c31f955489a25bb38258f87560e",
    "nix-2.34.7-aarch64-linux": "f1cee64ae7a02330c6421924c28f597c41813f2214ff108622087d8056378b08",
}


@dataclass(frozen=True)
class Release:
    """A tarball to install from, and the sha256 that it must have, in hexadecimal."""

    url: str
    sha256: str


def release(settings: Settings) -> Release:
    """The tarball that the inputs name, or the pinned one. Raises InputError when its hash is not known."""
    if settings.nix_url:
        return Release(settings.nix_url, settings.nix_sha256)
    name = f"nix-{settings.nix_version}-{platform.machine()}-linux"
    sha256 = settings.nix_sha256 or _SHA256.get(name, "")
    if not sha256:
        raise InputError(f"nix-sha256: not known for {name}; give it, or leave nix-version at {PINNED_NIX}")
    return Release(f"{_PUBLISHER}/nix-{settings.nix_version}/{name}.tar.xz", sha256)


def single_user(source: Release) -> Nix:
    """Install Nix for the user that runs this, who can write /nix. Does what is missing when run again.

    Raises RunnerError when the tarball cannot be had, has another hash or does not hold a Nix.
    """
    ROOT.mkdir(mode=0o755, exist_ok=True)
    with _staging() as staging:
        tarball = staging / "nix.tar.xz"
        _download(source, tarball)
        _unpack(tarball, staging)
        found = [path.parent for path in staging.glob("*/.reginfo")]
        if not found:
            raise RunnerError(f"{source.url} is not a Nix release: it holds no .reginfo")
        return _register(found[0])


@contextmanager
def _staging() -> Iterator[Path]:
    """A directory on the same file system as the store, so that paths move into it in one step."""
    staging = Path(tempfile.mkdtemp(prefix=".nix-autocache-", dir=ROOT))
    try:
        yield staging
    finally:
        remove_tree(staging)


def _download(source: Release, target: Path) -> None:
    """Stream a tarball to disk, and check its hash before anybody looks into it."""
    digest = hashlib.sha256()
    try:
        # Any scheme will do, file: included: the hash decides.
        with urllib.request.urlopen(source.url, timeout=_TIMEOUT) as answer, open(target, "wb") as file:  # noqa: S310
            while piece := answer.read(_PIECE):
                digest.update(piece)
                file.write(piece)
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise RunnerError(f"cannot download {source.url}: {reason}; `nix-url` can name another place") from None
    if digest.hexdigest() != source.sha256:
        raise RunnerError(
            f"{source.url} has sha256 {digest.hexdigest()}, expected {source.sha256}; nothing of it was used"
        )


def _unpack(tarball: Path, directory: Path) -> None:
    # Trusted because its hash is; Python before 3.11.4 knows no filters.
    arguments: dict[str, Any] = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
    try:
        with tarfile.open(tarball, "r|*") as archive:
            archive.extractall(directory, **arguments)  # noqa: S202
    except (tarfile.TarError, EOFError) as error:
        raise RunnerError(f"the Nix release cannot be unpacked: {error}") from None


def _register(unpacked: Path) -> Nix:
    """Move the release's store paths into the store, tell Nix's database of them, and make the default profile."""
    store = ROOT / "store"
    store.mkdir(mode=0o755, exist_ok=True)
    for path in (unpacked / "store").iterdir():
        _move(path, store / path.name)
    nix = next((path for path in store.glob("*-nix-*") if (path / "bin/nix-store").exists()), None)
    if nix is None:
        raise RunnerError("the Nix release holds no nix-store")
    with open(unpacked / ".reginfo", "rb") as registration:
        command = [str(nix / "bin/nix-store"), "--load-db"]
        environment = {**os.environ, "NIX_REMOTE": "local"}
        done = subprocess.run(command, stdin=registration, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunnerError(f"nix-store --load-db: {done.stderr.strip()}")
    _link(PROFILE, nix)
    for certificates in store.glob("*-nss-cacert-*"):
        _link(CERTIFICATES, certificates)
    return Nix(PROFILE / "bin")


def _move(path: Path, target: Path) -> None:
    """Rename a store path into place. A directory can only be moved by its owner while it is writable."""
    if target.exists():
        return
    if path.is_dir() and not path.is_symlink():
        path.chmod(0o755)
    path.rename(target)
    if target.is_dir() and not target.is_symlink():
        target.chmod(0o555)
        os.utime(target, (1, 1))


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        link.unlink()
    link.symlink_to(target)


def remove_tree(directory: Path) -> None:
    """Remove a directory whose parts may be read-only, as those of a store are."""
    for current, _, _ in os.walk(directory):
        with suppress(OSError):
            os.chmod(current, 0o700)
    shutil.rmtree(directory, ignore_errors=True)
