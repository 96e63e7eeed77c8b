"""The packages that a job needs, from the lock with every hash checked, and kept between jobs.

Standard library only: this runs before any package is there. An environment is a directory of packages; its name is a
key of the lock and of the Python that it is for. It is taken only from where nobody with less right could have put it:
see `files.is_only_of`.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...errors import RunnerError, one_line
from ...schemes.table import AWS
from ...settings import Settings
from ...system import files, own_copy, process, trees
from ..paths import STATE
from . import installers, wheels
from .installers import Command

_SHARED: Final = STATE / "packages"
_LOCKS: Final = own_copy.PACKAGE / "requirements"  # a link in the checkout, files in the wheel
_PRIVATE: Final = "nix-autocache-"
_FORMAT: Final = b"2"  # those of before have the modes that the umask of their day gave them


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Packages called `name`, made from `locks` in the first of `homes` that will do, or found there or in `others`.

    With `anywhere`, a new directory takes the place of homes that none of them will do.
    """

    name: str
    locks: tuple[Path, ...]
    homes: tuple[Path, ...]
    others: tuple[Path, ...] = ()
    anywhere: bool = False

    @property
    def directory(self) -> Path | None:
        """Where it is; None where it must be made first."""
        return next((home / self.name for home in (*self.others, *self.homes) if _is_fit(home / self.name)), None)

    def begin(self) -> Making:
        """Start to make it, in another process. Raises RunnerError where it can be made nowhere."""
        home = next((home for home in self.homes if _can_be_made_in(home)), None) or self._fresh()
        scratch = Path(tempfile.mkdtemp(prefix=f".{self.name}-", dir=home))
        target = scratch / "packages"
        files.make_directory(target, 0o700)
        commands = installers.found(scratch, target, self.locks, process.inherited())
        try:
            first = _Running.of(next(commands))
        except BaseException:
            _remove(scratch)
            raise
        return Making(self, home / self.name, target, commands, first)

    def _fresh(self) -> Path:
        try:
            if self.anywhere:
                return Path(tempfile.mkdtemp(prefix="nix-autocache-"))
            reason = "it must be writable, let programs run, and be nobody else's"
        except OSError as error:
            reason = one_line(error)
        named = " nor ".join(map(str, self.homes))
        raise RunnerError(f"no directory for the packages of nix-autocache: neither {named} will do: {reason}")


@dataclass(frozen=True)
class Making:
    """An environment that is being made in `target`, to be moved to `directory`; `commands` are left to try."""

    environment: Environment
    directory: Path
    target: Path
    commands: Iterator[Command]
    first: _Running

    def finish(self) -> Path:
        """Wait for it; its directory. Raises RunnerError, with the installers' own reasons, when it cannot be made."""
        try:
            self._install()
            trees.set_modes(self.target)
            try:
                self.target.rename(self.directory)
            except OSError:  # another job on this machine was faster; its environment is the same
                if not _is_fit(self.directory):
                    raise
        finally:
            self.end()
        return self.directory

    def end(self) -> None:
        """Give it up, if it is not finished."""
        self.first.process.kill()
        _remove(self.target.parent)

    def _install(self) -> None:
        running, reasons = self.first, []
        while reason := running.complaint():
            reasons.append(reason)
            command = next(self.commands, None)
            if command is None:
                raise RunnerError(f"cannot install the packages of nix-autocache: {'; '.join(reasons)}")
            _remove(self.target)
            files.make_directory(self.target, 0o700)
            running = _Running.of(command)
        if running.command.wheels:
            self._unpack(running.command.wheels)

    def _unpack(self, brought: Path) -> None:
        import compileall

        allowed = wheels.hashes(self.environment.locks)
        for wheel in sorted(brought.iterdir()):
            wheels.unpack(wheel, allowed, self.target)
        if not sys.pycache_prefix:  # or nobody would look for it there
            compileall.compile_dir(self.target, quiet=2, stripdir=str(self.target), prependdir=str(self.directory))


@dataclass(frozen=True)
class _Running:
    command: Command
    process: process.Process

    @classmethod
    def of(cls, command: Command) -> _Running:
        return cls(command, process.start(command.words, environ=command.environ, output=process.PIPE))

    def complaint(self) -> str:
        """Wait for it; why it failed, empty if it did not."""
        try:
            output, _ = self.process.communicate()
        except BaseException:
            self.process.kill()
            raise
        if self.process.returncode == 0:
            return ""
        lines = [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"{self.command.words[0]} ended with {self.process.returncode}"


def wanted(settings: Settings | None, environ: Mapping[str, str]) -> Environment:
    """The environment for these inputs: no more than they need. None stands for inputs that cannot be read."""
    there = shared(settings, environ)
    homes = [home / "nix-autocache" for home in _caches(environ)]
    with suppress(OSError):  # the job's later steps find it again, and only this user may enter it
        homes.append(Path(os.path.realpath(tempfile.gettempdir()), f"{_PRIVATE}{os.geteuid()}"))
    return Environment(name=there.name, locks=there.locks, homes=tuple(homes), others=there.homes, anywhere=True)


def shared(settings: Settings | None, environ: Mapping[str, str]) -> Environment:
    """The same where a provisioned machine keeps it for all its users."""
    names = ["base.txt", "aws.txt"] if settings and needs_boto3(settings, environ) else ["base.txt"]
    locks = tuple(_LOCKS / name for name in names)
    digest = hashlib.sha256(_FORMAT + importlib.machinery.EXTENSION_SUFFIXES[0].encode())
    for lock in locks:
        digest.update(lock.read_bytes())
    return Environment(name=digest.hexdigest()[:20], locks=locks, homes=(_SHARED,))


def bytecode(environ: Mapping[str, str]) -> Path | None:
    """Where the bytecode of this program can be kept; None where there is no such directory."""
    for home in _caches(environ):
        if _can_be_made_in(home / "nix-autocache"):
            return home / "nix-autocache" / "bytecode"
    return None


def needs_boto3(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Whether AWS credentials must be looked for elsewhere than in the environment, or a key is in AWS."""
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


def _can_be_made_in(home: Path) -> bool:
    """Whether packages can be put there and run; makes the directory if so."""
    with suppress(OSError):
        files.make_directory(home, 0o700 if home.name.startswith(_PRIVATE) else 0o755)
        return os.access(home, os.W_OK | os.X_OK) and _is_fit(home)
    return False


def _is_fit(directory: Path) -> bool:
    """Whether what is there is ours, and not on a file system that no program runs from."""
    if not files.is_only_of(directory, installers.trusted()):
        return False
    return not os.statvfs(directory).f_flag & os.ST_NOEXEC


def _remove(directory: Path) -> None:
    import shutil  # here, since most steps find an environment and need none of it

    shutil.rmtree(directory, ignore_errors=True)
