"""Installs Nix from a release tarball: download, check the hash, unpack, register.

Standard library only: this runs while our own packages are being installed. A release tarball contains
`nix-VERSION-SYSTEM/{.reginfo,install,store/…}`. `nix-store --load-db` reads `.reginfo`, and `install` names the two
paths of the default profile.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ...errors import RunnerError
from ...system import process, users
from ...system.dataclass import dataclass
from ...system.files import make_directory, open_to_write
from ...system.trees import remove_tree
from ..store import Nix
from .release import Release
from .unpack import seal, unpack

ROOT: Final = Path("/nix")
PROFILE: Final = ROOT / "var/nix/profiles/default"
CERTIFICATES: Final = ROOT / "var/nix/profiles/nix-autocache-cacert"
CERTIFICATE_FILE: Final = CERTIFICATES / "etc/ssl/certs/ca-bundle.crt"
PARTS: Final = (ROOT / "store", ROOT / "var")  # made inside a /nix that existed before
_DATABASE: Final = ROOT / "var/nix/db/db.sqlite"
_PIECE: Final = 1 << 20
_STAGING: Final = ".nix-autocache-"


def single_user(source: Release, environ: Mapping[str, str]) -> Nix:
    """Install Nix for this user, who can write /nix. May be run again after a failure.

    Raises RunnerError if the tarball cannot be downloaded, has another hash or contains no Nix.
    """
    return _install(source, environ)


def multi_user(source: Release, builders: Sequence[str], environ: Mapping[str, str]) -> Nix:
    """Install Nix as root for every user, with these build users. May be run again after a failure.

    Raises RunnerError as `single_user`, and if users cannot be made.
    """
    user_creation = _UserCreation(builders)
    user_creation.start()
    try:
        return _install(source, environ)
    finally:
        user_creation.finish()


class _UserCreation(threading.Thread):
    """Makes the build users while the release is downloaded and unpacked."""

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
    """A release, unpacked on the file system of the store."""

    directory: Path
    nix: Path
    certificates: Path | None


def _install(source: Release, environ: Mapping[str, str]) -> Nix:
    make_directory(ROOT, 0o755)
    for left in ROOT.glob(f"{_STAGING}*"):  # of a killed installation: the caller holds the lock
        remove_tree(left)
    with _staging() as staging:
        tarball = staging / "nix.tar.xz"
        sha256 = _fetch(source.url, tarball, environ)
        if sha256 != source.sha256:
            raise RunnerError(f"{source.url} has sha256 {sha256}, expected {source.sha256}; nothing of it was used")
        unpack(tarball, staging)
        return _register(_find(staging, source))


def _fetch(url: str, target: Path, environ: Mapping[str, str]) -> str:
    """Put the tarball into `target`, and return its sha256."""
    if url.startswith("file://"):
        return _copy(url, target)
    from . import download  # not for a local file: it takes long to load

    return download.to_file(url, target, environ)


def _copy(url: str, target: Path) -> str:
    """Copy it, so that nobody can change it between the check of its hash and its use."""
    from urllib.parse import unquote

    digest = hashlib.sha256()
    try:
        with open(unquote(url.removeprefix("file://")), "rb") as source, open_to_write(target, 0o600) as file:
            while piece := source.read(_PIECE):
                digest.update(piece)
                file.write(piece)
    except OSError as error:
        raise RunnerError(f"cannot read {url}: {error.strerror}; `nix-url` can name another file") from None
    return digest.hexdigest()


@contextmanager
def _staging() -> Iterator[Path]:
    """A directory on the store's file system, so that a store path moves into the store in one step."""
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=ROOT))
    try:
        yield staging
    finally:
        remove_tree(staging)


def _find(staging: Path, source: Release) -> _Unpacked:
    found = [path.parent for path in staging.glob("*/.reginfo")]
    if not found:
        raise RunnerError(f"{source.url} is not a Nix release: it contains no .reginfo")
    with suppress(OSError):
        script = (found[0] / "install").read_text(errors="replace")
        named = dict(re.findall(r'^(?:readonly )?(nix|cacert)="/nix/store/([^"/]+)"', script, re.MULTILINE))
        if "nix" in named:
            certificates = ROOT / "store" / named["cacert"] if "cacert" in named else None
            return _Unpacked(found[0], ROOT / "store" / named["nix"], certificates)
    raise RunnerError(f"{source.url} is not a Nix release: its `install` does not name its Nix")


def _register(release: _Unpacked) -> Nix:
    """Move the release's store paths into the store, register them in Nix's database, and make the default profile."""
    store = ROOT / "store"
    make_directory(store, 0o755)
    for path in (release.directory / "store").iterdir():
        _move(path, store / path.name)
    with open(release.directory / ".reginfo", "rb") as registration:
        command = [str(release.nix / "bin/nix-store"), "--load-db"]
        # Without this machine's configuration, which may be broken or name build users that do not exist yet.
        changes = {"NIX_REMOTE": "local", "NIX_CONF_DIR": "/var/empty", "NIX_USER_CONF_FILES": ""}
        changes["NIX_CONFIG"] = "build-users-group ="
        done = process.run(command, given=registration.read(), environ=process.inherited(changes))
    if done.status:
        raise RunnerError(f"nix-store --load-db: {done.reason}")
    _link(PROFILE, release.nix)
    if release.certificates:
        _link(CERTIFICATES, release.certificates)
    return Nix(PROFILE / "bin")


def _move(path: Path, target: Path) -> None:
    """Move a store path into the store. An existing one stays if Nix's database may contain it."""
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
