"""A directory of packages, found or made from locks with every hash checked, and kept between jobs.

Standard library only: this runs before any package is there. A directory is used only if nobody with fewer rights could
have put it there, see `files.is_only_of`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...errors import RunnerError, one_line
from ...system import files, process, trees
from . import installers, wheels
from .installers import Command

PRIVATE: Final = "nix-autocache-"
"""Begins the name of a directory that only this user may enter."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Packages from `locks`, in the directory `name` of one of `homes`; `others` are only looked through.

    With `anywhere`, a new temporary directory is the last resort.
    """

    name: str
    locks: tuple[Path, ...]
    homes: tuple[Path, ...]
    others: tuple[Path, ...] = ()
    anywhere: bool = False

    @property
    def directory(self) -> Path | None:
        """None if it must be made first."""
        return next((home / self.name for home in (*self.others, *self.homes) if _is_usable(home / self.name)), None)

    def begin(self) -> RunningInstall:
        """Start an installer in the first of `homes` that is usable. Raises RunnerError if none is."""
        home = next((home for home in self.homes if is_usable_home(home)), None) or self._temporary()
        scratch = Path(tempfile.mkdtemp(prefix=f".{self.name}-", dir=home))
        target = scratch / "packages"
        files.make_directory(target, 0o700)
        commands = installers.found(scratch, target, self.locks, process.inherited())
        try:
            first = _RunningCommand.of(next(commands))
        except BaseException:
            _remove(scratch)
            raise
        return RunningInstall(self, home / self.name, target, commands, first)

    def _temporary(self) -> Path:
        try:
            if self.anywhere:
                return Path(tempfile.mkdtemp(prefix=PRIVATE))
            reason = "it must be writable, let programs run, and belong to nobody else"
        except OSError as error:
            reason = one_line(error)
        named = " nor ".join(map(str, self.homes))
        raise RunnerError(f"no directory for the packages of nix-autocache: neither {named} can be used: {reason}")


@dataclass(frozen=True)
class RunningInstall:
    """Packages on their way into `target`, which is then renamed to `directory`. `commands` are left to try."""

    environment: Environment
    directory: Path
    target: Path
    commands: Iterator[Command]
    first: _RunningCommand

    def finish(self) -> Path:
        """Wait for it and return the directory. Raises RunnerError, with each installer's reason, if none succeeds."""
        try:
            self._install()
            trees.set_modes(self.target)
            try:
                self.target.rename(self.directory)
            except OSError:  # another job on this machine was faster; its packages are the same
                if not _is_usable(self.directory):
                    raise
        finally:
            self.cancel()
        return self.directory

    def cancel(self) -> None:
        """Stop it and remove what it left, if it has not finished."""
        self.first.process.kill()
        _remove(self.target.parent)

    def _install(self) -> None:
        running, reasons = self.first, []
        while reason := running.failure():
            reasons.append(reason)
            command = next(self.commands, None)
            if command is None:
                raise RunnerError(f"cannot install the packages of nix-autocache: {'; '.join(reasons)}")
            _remove(self.target)
            files.make_directory(self.target, 0o700)
            running = _RunningCommand.of(command)
        if running.command.wheels:
            self._unpack(running.command.wheels)

    def _unpack(self, downloaded: Path) -> None:
        import compileall

        allowed = wheels.hashes(self.environment.locks)
        for wheel in sorted(downloaded.iterdir()):
            wheels.unpack(wheel, allowed, self.target)
        if not sys.pycache_prefix:  # or Python looks for bytecode elsewhere
            compileall.compile_dir(self.target, quiet=2, stripdir=str(self.target), prependdir=str(self.directory))


@dataclass(frozen=True)
class _RunningCommand:
    command: Command
    process: process.Process

    @classmethod
    def of(cls, command: Command) -> _RunningCommand:
        return cls(command, process.start(command.words, environ=command.environ, output=process.PIPE))

    def failure(self) -> str:
        """Wait for it. Returns why it failed; empty if it did not."""
        try:
            output, _ = self.process.communicate()
        except BaseException:
            self.process.kill()
            raise
        if self.process.returncode == 0:
            return ""
        lines = [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"{self.command.words[0]} ended with {self.process.returncode}"


def is_usable_home(home: Path) -> bool:
    """Whether packages can be put there and run. Makes the directory if it can be made."""
    with suppress(OSError):
        files.make_directory(home, 0o700 if home.name.startswith(PRIVATE) else 0o755)
        return os.access(home, os.W_OK | os.X_OK) and _is_usable(home)
    return False


def _is_usable(directory: Path) -> bool:
    """Whether the directory is ours, and on a file system that lets programs run."""
    if not files.is_only_of(directory, installers.trusted()):
        return False
    return not os.statvfs(directory).f_flag & os.ST_NOEXEC


def _remove(directory: Path) -> None:
    import shutil  # here, since most steps find their packages and need none of it

    shutil.rmtree(directory, ignore_errors=True)
