"""The packages that a job needs, installed from the lock with every hash checked, and kept between jobs.

Standard library only: this runs before any package is there. An environment is a directory of packages, made by uv
where there is one and by pip otherwise; its name is a key of the lock and of the Python that it is for.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import RunnerError
from .keys import is_in_aws
from .places import STATE
from .settings import Settings

_SHARED: Final = STATE / "packages"
_LOCKS: Final = Path(__file__).parent / "requirements"  # a link in the checkout, files in the wheel


@dataclass(frozen=True)
class Environment:
    """A directory of packages that is ready when it exists, and the locks that it is made from."""

    directory: Path
    locks: tuple[Path, ...]

    @property
    def ready(self) -> bool:
        return self.directory.is_dir()

    def begin(self) -> Making:
        """Start to make it, in another process."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.directory.with_suffix(f".{os.getpid()}")
        command = [*_installer(), "--target", str(fresh)]
        for lock in self.locks:
            command += ["--requirement", str(lock)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return Making(self, fresh, process)


@dataclass(frozen=True)
class Making:
    """An environment that is being made in `fresh`."""

    environment: Environment
    fresh: Path
    process: subprocess.Popen[str]

    def finish(self) -> None:
        """Wait for it. Raises RunnerError, with the installer's own reason, when it cannot be made."""
        import shutil  # here, since most steps find an environment and need none of it

        output, _ = self.process.communicate()
        if self.process.returncode:
            shutil.rmtree(self.fresh, ignore_errors=True)
            reason = [line for line in output.splitlines() if line.strip()] or ["it said nothing"]
            raise RunnerError(f"cannot install the packages of nix-autocache: {reason[-1].strip()}")
        try:
            self.fresh.rename(self.environment.directory)
        except OSError:  # another job on this machine was faster; its environment is the same
            shutil.rmtree(self.fresh, ignore_errors=True)


def wanted(settings: Settings | None, environ: Mapping[str, str]) -> Environment:
    """The environment for these inputs: no more than they need. None stands for inputs that cannot be read."""
    there = shared(settings, environ)
    cache = environ.get("RUNNER_TOOL_CACHE") or environ.get("XDG_CACHE_HOME") or f"{environ.get('HOME', '/tmp')}/.cache"  # noqa: S108
    return there if there.ready else Environment(Path(cache) / "nix-autocache" / there.directory.name, there.locks)


def shared(settings: Settings | None, environ: Mapping[str, str]) -> Environment:
    """The same where a provisioned machine keeps it for all its users."""
    names = ["base.txt", "aws.txt"] if settings and needs_boto3(settings, environ) else ["base.txt"]
    locks = tuple(_LOCKS / name for name in names)
    digest = hashlib.sha256(importlib.machinery.EXTENSION_SUFFIXES[0].encode())
    for lock in locks:
        digest.update(lock.read_bytes())
    return Environment(_SHARED / digest.hexdigest()[:20], locks)


def needs_boto3(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Whether AWS credentials must be looked for elsewhere than in the environment, or a key is in AWS."""
    if settings.aws_role or is_in_aws(settings.signing_key):
        return True
    if settings.cache is None or settings.cache.scheme != "s3":
        return False
    return "profile" in settings.cache.params or not environ.get("AWS_ACCESS_KEY_ID")


def _installer() -> Sequence[str]:
    import shutil

    common = ["install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    if uv := shutil.which("uv"):
        return [uv, "pip", *common, "--python", sys.executable, "--compile-bytecode"]
    pip = [sys.executable, "-P", "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        raise RunnerError(f"neither uv nor pip is there for {sys.executable}; install python3-pip, or uv")
    return [*pip, *common, "--no-input", "--disable-pip-version-check", "--no-warn-script-location"]
