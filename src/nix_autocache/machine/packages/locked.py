"""The packages that a job needs, and where they are kept: no more than its inputs ask for.

Standard library only. The name of an environment is a digest of the lock files and of the Python that it is for.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...nix.store_url import CacheUrl
from ...schemes.table import AWS
from ...settings import Settings
from ...system.dataclass import replace
from ...system.version import PACKAGE
from ..paths import STATE
from .environment import PRIVATE, Environment, is_usable_home

_SHARED: Final = STATE / "packages"
_LOCKS: Final = PACKAGE / "requirements"  # a link in the checkout, files in the wheel
_BASE: Final = "base.txt"
_LEAST: Final = "gha.txt"  # for a cache that the CI host keeps: without the client of object stores
_AWS: Final = "aws.txt"
_FORMAT: Final = b"2"  # in format 1, the umask decided the modes


def wanted(settings: Settings | None, environ: Mapping[str, str], cache: CacheUrl | None = None) -> Environment:
    """The environment for these inputs; None stands for inputs that cannot be read. `cache` is where paths go.

    One that is here already is taken although it has more than this job needs.
    """
    full = _of_job(shared(settings, environ), environ)
    if cache is None or not cache.row.kept_by_host:
        return full
    least = _of_job(_of_locks([_LEAST, *(lock.name for lock in full.locks[1:])]), environ)
    return full if full.directory and not least.directory else least


def shared(settings: Settings | None, environ: Mapping[str, str]) -> Environment:
    """The same, where a managed machine keeps it for all its users."""
    return _of_locks([_BASE, _AWS] if settings and needs_boto3(settings, environ) else [_BASE])


def _of_job(managed: Environment, environ: Mapping[str, str]) -> Environment:
    """The same, where this job may keep it as well."""
    homes = tuple(home / "nix-autocache" for home in _caches(environ))
    kept = Environment(name=managed.name, locks=managed.locks, homes=homes, others=managed.homes, anywhere=True)
    return kept if kept.directory else replace(kept, homes=(*homes, *_temporary()))


def _temporary() -> Iterator[Path]:
    """A directory that the job's later steps find again, and only this user may enter."""
    import tempfile  # steps whose packages are kept elsewhere do not need it

    with suppress(OSError):
        yield Path(os.path.realpath(tempfile.gettempdir()), f"{PRIVATE}{os.geteuid()}")


def _of_locks(names: Sequence[str]) -> Environment:
    locks = tuple(_LOCKS / name for name in names)
    digest = hashlib.sha256(_FORMAT + importlib.machinery.EXTENSION_SUFFIXES[0].encode())
    for lock in locks:
        digest.update(lock.read_bytes())
    return Environment(name=digest.hexdigest()[:20], locks=locks, homes=(_SHARED,))


def bytecode(environ: Mapping[str, str]) -> Path | None:
    """A directory for this program's bytecode; None if there is none."""
    for home in _caches(environ):
        if is_usable_home(home / "nix-autocache"):
            return home / "nix-autocache" / "bytecode"
    return None


def needs_boto3(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Whether AWS credentials come from elsewhere than the environment, or the signing key is in AWS."""
    if settings.aws_role or settings.signing_key.is_in_aws:
        return True
    if settings.cache is None or settings.cache.row.credentials is not AWS:
        return False
    return "profile" in settings.cache.params or not AWS.are_complete(environ)


def _caches(environ: Mapping[str, str]) -> Sequence[Path]:
    """Directories that outlive a job, as the host and the user have set them."""
    home = environ.get("HOME")
    named = [environ.get("RUNNER_TOOL_CACHE"), environ.get("XDG_CACHE_HOME"), home and f"{home}/.cache"]
    return [Path(name) for name in named if name and os.path.isabs(name)]
