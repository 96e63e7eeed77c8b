"""What root does for a job whose user is not root: a few verbs, each a request and an answer in JSON.

`call` does it here when we are root, else in a process of ours under sudo, whose requests come on its standard input:
what is secret in them, as a proxy's password may be, is never in an argument that others can read.
Standard library only. Each verb imports what it needs, since the job waits for it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, RunnerError
from ..system import process
from ..system.files import is_only_of
from ..system.net import network_environment
from ..system.own_copy import PACKAGE
from ..system.process import Process
from .paths import STATE
from .root_helper import KEEP, VERBS, Environ, Request

if TYPE_CHECKING:
    from ..uploader.process.client import Started


def call(verb: str, request: Request, environ: Environ) -> Any:
    """Have root do it; its answer. Raises the Error that it raised there."""
    if os.geteuid() == 0:
        return VERBS[verb](request, environ)
    done = process.run(_command(verb), given=_line(request, environ).encode())
    return _answer(done.output, done.error)


@dataclass(frozen=True)
class Hardening:
    """Root's process that hardened this machine, and waits for the end of the set-up."""

    process: Process

    def keep(self) -> None:
        self._end(KEEP + b"\n")

    def give_up(self) -> bool:
        """Bring back what was taken; whether that was possible."""
        return self._end(b"")

    def _end(self, word: bytes) -> bool:
        said, _ = self.process.communicate(word)
        return said.strip() == b"true"


def harden(request: Request, environ: Environ) -> Hardening:
    """Have root take itself away from a user, until the set-up fails or ends. Raises the Error that it raised there."""
    root = _begin("harden", request, environ)  # it outlives us, however we end
    assert root.stdout
    assert root.stderr
    said = root.stdout.readline().decode()
    _answer(said, "" if said else root.stderr.read().decode(errors="replace"))
    return Hardening(root)


def start_uploader(request: Request, environ: Environ) -> Started:
    """Have root start the uploader as a user of its own. It waits for its job, which no other process sees."""
    from ..uploader.process.client import Started

    root = _begin("start-uploader", request, environ)
    assert root.stdout
    assert root.stderr
    said = root.stdout.read().decode(), root.stderr.read().decode(errors="replace")
    root.wait()
    return Started(root, pid=_answer(*said))


def _begin(verb: str, request: Request, environ: Environ) -> Process:
    """Root's process, given its request; more may follow on its standard input.

    In a session of its own sudo has no terminal, and so puts nothing between us and what it starts.
    """
    pipe = process.PIPE
    begun = process.start(_command(verb), given=pipe, output=pipe, errors=pipe, session=True)
    assert begun.stdin
    with suppress(BrokenPipeError):
        begun.stdin.write(_line(request, environ).encode())
        begun.stdin.flush()
    return begun


def _command(verb: str) -> Sequence[str]:
    source = _roots_copy() if verb == "undo" else None
    module = f"{__package__}.root_helper"
    ours = ["env", f"PYTHONPATH={source or PACKAGE.parent}", sys.executable, "-sSP", "-m", module, verb]
    return ours if os.geteuid() == 0 else ["sudo", "-n", *ours]


def _roots_copy() -> Path | None:
    """This program as nobody but root could have changed it since root copied it, where that was done."""
    found = STATE.glob("*/*/0")  # of the uploader, of the service or of the daemon's supervisor
    return next((path for path in found if is_only_of(path, {0})), None)


def _line(request: Request, environ: Environ) -> str:
    return json.dumps({"request": request, "environ": network_environment(environ)}) + "\n"


def _answer(said: str, complained: str) -> Any:
    try:
        answer = json.loads(said)
    except ValueError:
        reason = (complained.strip() or "it said nothing").splitlines()[-1]
        raise RunnerError(f"sudo cannot run our part that needs root: {reason}") from None
    if "error" in answer:
        raise (InputError if answer["input"] else RunnerError)(answer["error"])
    return answer["answer"]
