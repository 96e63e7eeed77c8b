"""Commands that run inside a machine: those that end, and those in the background.

Both are killed from outside with their process group; what has a session of its own ends with the machine.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.harness import namespaces
from tests.harness.waiting import wait_for


@dataclass(frozen=True)
class Command:
    """The words of a command, the way into the machine, and the machine's root, for messages."""

    words: tuple[str, ...]
    entry: tuple[str, ...]
    root: Path


@dataclass(frozen=True)
class Completed:
    """A command that ended; its output is decoded leniently."""

    command: Command
    returncode: int
    stdout: str
    stderr: str
    seconds: float


class CommandFailed(AssertionError):  # noqa: N818 - it says what happened, as pytest's own do
    """A command inside a machine failed or did not end in time; says all that is known about it."""

    def __init__(self, why: str, command: Command, output: str) -> None:
        super().__init__(f"{why}: {' '.join(command.words)}\n{output}\nin a machine made from {command.root}")


@dataclass
class Process:
    """A command in the background; leaving its `with` block kills it, as does the end of the machine."""

    command: Command
    popen: subprocess.Popen[bytes]
    output: Path
    """Standard output and error in the order of writing; grows while the command runs."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def running(self) -> bool:
        return self.popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Reaches the command alone, not what it started."""
        _signal(self.popen, number)

    def wait(self, timeout: float = 60.0) -> int:
        """The exit status; CommandFailed when the time is up."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"still runs after {timeout:g} s", self.command, self.text()) from None

    def wait_for_text(self, text: str, timeout: float = 60.0) -> None:
        wait_for(lambda: text in self.text() or not self.running(), f"{text!r} from {self.command.words}", timeout)
        if text not in self.text():
            raise CommandFailed(f"ended without saying {text!r}", self.command, self.text())

    def kill(self) -> None:
        _kill(self.popen)


def run(command: Command, data: bytes | None, timeout: float, alive: Callable[[], Sequence[object]]) -> Completed:
    """Waits for the end of the command and of its output: a child that keeps it open counts as not ended.

    `alive` lists what runs in the machine, for the message at the deadline.
    """
    start = time.monotonic()
    pipe = subprocess.PIPE
    reading = subprocess.DEVNULL if data is None else pipe
    with subprocess.Popen(command.entry, stdin=reading, stdout=pipe, stderr=pipe, start_new_session=True) as popen:
        try:
            out, err = popen.communicate(data, timeout)
        except subprocess.TimeoutExpired as expired:
            why = "has not ended" if popen.poll() is None else "has ended, but a child keeps its output open,"
            running = "\n".join(f"  {process}" for process in alive())
            output = f"{text(expired.output)}{text(expired.stderr)}\nrunning in the machine:\n{running}"
            _kill(popen)
            raise CommandFailed(f"{why} after {timeout:g} s", command, output) from None
    return Completed(command, popen.returncode, text(out), text(err), time.monotonic() - start)


def start(command: Command, output: Path) -> Process:
    with output.open("wb") as log:
        popen = subprocess.Popen(
            command.entry,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Process(command, popen, output)


def _kill(popen: subprocess.Popen[bytes]) -> None:
    # The command before its way in: orphaned, it would be a zombie of the host's until that looks.
    _signal(popen, signal.SIGKILL)
    popen.wait()
    with suppress(ProcessLookupError):
        os.killpg(popen.pid, signal.SIGKILL)


def _signal(popen: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(namespaces.only_child(popen.pid) or popen.pid, number)


def text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")
