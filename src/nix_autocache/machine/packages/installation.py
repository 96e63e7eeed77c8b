"""Packages being installed: one installer after the other is tried, in a process of its own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...errors import RunnerError
from ...system import files, process, trees
from ...system.dataclass import dataclass
from . import installers, wheels
from .environment import Environment, is_usable, is_usable_home
from .installers import Command


def begin(environment: Environment) -> RunningInstall:
    """Start an installer in the first usable home of the environment. Raises RunnerError if there is none."""
    home = next((home for home in environment.homes if is_usable_home(home)), None) or environment.temporary_home()
    scratch = Path(tempfile.mkdtemp(prefix=f".{environment.name}-", dir=home))
    target = scratch / "packages"
    files.make_directory(target, 0o700)
    commands = installers.found(scratch, target, environment.locks, process.inherited())
    try:
        first = _RunningCommand.of(next(commands))
    except BaseException:
        _remove(scratch)
        raise
    return RunningInstall(environment, home / environment.name, target, commands, first)


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
                if not is_usable(self.directory):
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


def _remove(directory: Path) -> None:
    import shutil  # here, since most steps find their packages and need none of it

    shutil.rmtree(directory, ignore_errors=True)
