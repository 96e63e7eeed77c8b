"""Nix from a release tarball, where there is none: downloaded, checked, unpacked, registered.

Standard library only: this runs while the environment of the rest is being made. A release tarball holds
`nix-VERSION-SYSTEM/{.reginfo,install,store/…}`; `.reginfo` is what `nix-store --load-db` reads, and `install`
names the two paths that make the default profile.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...errors import RunnerError
from ...system import process, users
from ...system.files import make_directory, open_to_write
from ...system.removal import remove_tree
from ..store import Nix
from .release import Release
from .unpack import seal, unpack

ROOT: Final = Path("/nix")
PROFILE: Final = ROOT / "var/nix/profiles/default"
CERTIFICATES: Final = ROOT / "var/nix/profiles/nix-autocache-cacert"
CERTIFICATE_FILE: Final = CERTIFICATES / "etc/ssl/certs/ca-bundle.crt"
PARTS: Final = (ROOT / "store", ROOT / "var")  # what is made inside a /nix that was there
_DATABASE: Final = ROOT / "var/nix/db/db.sqlite"
_PIECE: Final = 1 << 20
_STAGING: Final = ".nix-autocache-"


def single_user(source: Release) -> Nix:
    """Install Nix for the user that runs this, who can write /nix. Does what is missing when run again.

    Raises RunnerError when the tarball cannot be had, has another hash or does not hold a Nix.
    """
    return _install(source)


def multi_user(source: Release, builders: Sequence[str]) -> Nix:
    """Install Nix as root, for every user, with these build users. Does what is missing when run again.

    Raises RunnerError as `single_user` does, and when users cannot be made.
    """
    making = _Making(builders)
    making.start()
    try:
        return _install(source)
    finally:
        making.finish()


class _Making(threading.Thread):
    """Build users being made while the release is unpacked: each is a process, and most of it waits."""

    def __init__(self, builders: Sequence[str]) -> None:
        super().__init__(name="build users")
        self._builders = builders
        self._error: RunnerError | None = None

    def run(self) -> None:
        try:
            users.make(self._builders)
        except RunnerError as error:
            self._error = error

    def finish(self) -> None:
        self.join()
        if self._error:
            raise self._error


@dataclass(frozen=True)
class _Unpacked:
    """A release in a directory that is on the store's file system."""

    directory: Path
    nix: Path
    certificates: Path | None


def _install(source: Release) -> Nix:
    make_directory(ROOT, 0o755)
    for left in ROOT.glob(f"{_STAGING}*"):  # of an installation that was killed: the caller has a lock
        remove_tree(left)
    with _staging() as staging:
        tarball = staging / "nix.tar.xz"
        sha256 = _fetch(source.url, tarball)
        if sha256 != source.sha256:
            raise RunnerError(f"{source.url} has sha256 {sha256}, expected {source.sha256}; nothing of it was used")
        unpack(tarball, staging)
        return _register(_find(staging, source))


def _fetch(url: str, target: Path) -> str:
    """The tarball in `target`; its sha256. What downloads is loaded only where there is something to download."""
    if url.startswith("file://"):
        return _copy(url, target)
    from . import download

    return download.to_file(url, target)


def _copy(url: str, target: Path) -> str:
    """A copy that nobody else can change between the check of its hash and its use."""
    from urllib.parse import unquote

    digest = hashlib.sha256()
    try:
        with open(unquote(url.removeprefix("file://")), "rb") as source, open_to_write(target, 0o600) as file:
            while piece := source.read(_PIECE):
                digest.update(piece)
                file.write(piece)
    except OSError as error:
        raise RunnerError(f"cannot read {url}: {error.strerror}; `nix-url` can name another place") from None
    return digest.hexdigest()


@contextmanager
def _staging() -> Iterator[Path]:
    """A directory on the same file system as the store, so that paths move into it in one step."""
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=ROOT))
    try:
        yield staging
    finally:
        remove_tree(staging)


def _find(staging: Path, source: Release) -> _Unpacked:
    found = [path.parent for path in staging.glob("*/.reginfo")]
    if not found:
        raise RunnerError(f"{source.url} is not a Nix release: it holds no .reginfo")
    with suppress(OSError):
        script = (found[0] / "install").read_text(errors="replace")
        named = dict(re.findall(r'^(?:readonly )?(nix|cacert)="/nix/store/([^"/]+)"', script, re.MULTILINE))
        if "nix" in named:
            certificates = ROOT / "store" / named["cacert"] if "cacert" in named else None
            return _Unpacked(found[0], ROOT / "store" / named["nix"], certificates)
    raise RunnerError(f"{source.url} is not a Nix release: its `install` does not name its Nix")


def _register(release: _Unpacked) -> Nix:
    """Move the release's store paths into the store, tell Nix's database of them, and make the default profile."""
    store = ROOT / "store"
    make_directory(store, 0o755)
    for path in (release.directory / "store").iterdir():
        _move(path, store / path.name)
    with open(release.directory / ".reginfo", "rb") as registration:
        command = [str(release.nix / "bin/nix-store"), "--load-db"]
        # No configuration of this machine: it may be broken, or want build users that are still being made.
        environment = {**os.environ, "NIX_REMOTE": "local", "NIX_CONF_DIR": "/var/empty", "NIX_USER_CONF_FILES": ""}
        environment["NIX_CONFIG"] = "build-users-group ="
        done = process.run(command, given=registration.read(), environ=environment)
    if done.status:
        raise RunnerError(f"nix-store --load-db: {done.reason}")
    _link(PROFILE, release.nix)
    if release.certificates:
        _link(CERTIFICATES, release.certificates)
    return Nix(PROFILE / "bin")


def _move(path: Path, target: Path) -> None:
    """Rename a store path into place; one that is there already stays if Nix's database may know of it."""
    if target.exists() or target.is_symlink():
        if _DATABASE.exists():
            return
        remove_tree(target) if target.is_dir() and not target.is_symlink() else target.unlink()
    path.rename(target)
    if target.is_dir() and not target.is_symlink():
        seal(target)


def _link(link: Path, target: Path) -> None:
    make_directory(link.parent, 0o755)
    with suppress(FileNotFoundError):
        link.unlink()
    link.symlink_to(target)
