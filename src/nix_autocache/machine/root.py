"""Have root run a verb of `root_helper`: here where we are root, else in a process of ours under sudo.

Requests go through its standard input, since arguments are visible to every user and a proxy's password may be in a
request. Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, RunnerError
from ..system import process
from ..system.dataclass import dataclass
from ..system.files import is_only_of
from ..system.net import network_environment
from ..system.process import Process
from ..system.version import PACKAGE
from .paths import STATE
from .root_helper import KEEP, VERBS, Environ, Request

if TYPE_CHECKING:
    from ..uploader.process.client import Started


def call(verb: str, request: Request, environ: Environ) -> Any:
    """Run a verb and return its answer. Raises the Error that the verb raised."""
    if os.geteuid() == 0:
        return VERBS[verb](request, environ)
    done = process.run(_command(verb), given=_line(request, environ).encode())
    return _answer(done.output, done.error)


@dataclass(frozen=True)
class Hardening:
    """Root's process that hardened this machine. It waits for the end of the set-up."""

    process: Process

    def keep(self) -> None:
        self._finish(KEEP + b"\n")

    def give_up(self) -> bool:
        """Undo the hardening. Returns whether that succeeded."""
        return self._finish(b"")

    def _finish(self, line: bytes) -> bool:
        answer, _ = self.process.communicate(line)
        return answer.strip() == b"true"


def harden(request: Request, environ: Environ) -> Hardening:
    """Take root from a user, for the time of the set-up at first. Raises the Error that the verb raised."""
    root = _begin("harden", request, environ)  # it outlives us, however we end
    assert root.stdout
    assert root.stderr
    line = root.stdout.readline().decode()
    _answer(line, "" if line else root.stderr.read().decode(errors="replace"))
    return Hardening(root)


def start_uploader(request: Request, environ: Environ) -> Started:
    """Start the uploader as its own user. It waits for its job, which no other process sees."""
    from ..uploader.process.client import Started

    root = _begin("start-uploader", request, environ)
    assert root.stdout
    assert root.stderr
    output, errors = root.stdout.read().decode(), root.stderr.read().decode(errors="replace")
    root.wait()
    return Started(root, pid=_answer(output, errors))


def _begin(verb: str, request: Request, environ: Environ) -> Process:
    """Start root's process and send it the request; more may follow on its standard input.

    Its own session has no terminal, so sudo puts no process between us and the program.
    """
    pipe = process.PIPE
    root = process.start(_command(verb), given=pipe, output=pipe, errors=pipe, session=True)
    assert root.stdin
    with suppress(BrokenPipeError):
        root.stdin.write(_line(request, environ).encode())
        root.stdin.flush()
    return root


def _command(verb: str) -> Sequence[str]:
    source = _roots_copy() if verb == "undo" else None
    module = f"{__package__}.root_helper"
    ours = ["env", f"PYTHONPATH={source or PACKAGE.parent}", sys.executable, "-sSP", "-m", module, verb]
    return ours if os.geteuid() == 0 else ["sudo", "-n", *ours]


def _roots_copy() -> Path | None:
    """Root's own copy of this program, which nobody else can have changed, if there is one.

    The newest one, since an older version may not know what was recorded since.
    """
    copies = STATE.glob("*/*/0")  # of the uploader, of the service or of the daemon's supervisor
    return max((path for path in copies if is_only_of(path, {0})), key=lambda path: path.stat().st_mtime, default=None)


def _line(request: Request, environ: Environ) -> str:
    return json.dumps({"request": request, "environ": network_environment(environ)}) + "\n"


def _answer(output: str, errors: str) -> Any:
    try:
        answer = json.loads(output)
    except ValueError:
        reason = (errors.strip() or "it said nothing").splitlines()[-1]
        raise RunnerError(f"sudo cannot run our part that needs root: {reason}") from None
    if "error" in answer:
        raise (InputError if answer["input"] else RunnerError)(answer["error"])
    return answer["answer"]
