"""Other programs, run to their end or started in the background, and conditions waited for.

This is the only module that starts programs. A program gets no terminal, no standard input unless it is given some,
and `/` as its working directory: files in the job's directory (configuration of tools, Python modules) must not
change what it does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import IO, Any, Final, TypeAlias

from ..errors import RunnerError
from .dataclass import dataclass

POLL: Final = 0.01  # seconds between two looks at a condition
NOTHING: Final = subprocess.DEVNULL
PIPE: Final = subprocess.PIPE
NOT_STARTED: Final = 127  # as in a shell
TimeoutExpired = subprocess.TimeoutExpired
_PR_SET_PDEATHSIG: Final = 1

Stream: TypeAlias = int | IO[bytes]
"""A file, its descriptor, NOTHING or PIPE."""
Process: TypeAlias = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Account:
    """Another user, by number, with one group. A program gets no other groups than this one and `groups`."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Finished:
    """A program that ended. Its output is decoded as UTF-8, with replacement characters for other bytes."""

    words: tuple[str, ...]
    status: int
    output: str
    error: str

    @property
    def reason(self) -> str:
        """Its last line on standard error, or else on standard output."""
        lines = (self.error.strip() or self.output.strip()).splitlines()
        return lines[-1].strip() if lines else f"it said nothing and ended with status {self.status}"

    def check(self, what: str) -> Finished:
        """Itself. Raises RunnerError, which begins with `what`, if the program failed."""
        if self.status:
            raise RunnerError(f"{what}: {' '.join(self.words)}: {self.reason}")
        return self


def run(
    words: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    given: bytes = b"",
    cwd: str = "/",
    timeout: float | None = None,
    account: Account | None = None,
) -> Finished:
    """Run a program with `given` on its standard input. `environ` is its whole environment; None means ours.

    Root may name the `account` to run it as. Raises nothing: the status is 127 if the program cannot be started, and
    -9 if it was killed after `timeout` seconds.
    """
    try:
        done = subprocess.run(
            words,
            env=environ,
            input=given,
            capture_output=True,
            cwd=cwd,
            timeout=timeout,
            check=False,
            **_as(account),
        )
    except subprocess.TimeoutExpired:
        return Finished(tuple(words), -9, "", f"no answer within {timeout:g} s")
    except (OSError, ValueError) as error:
        return Finished(tuple(words), NOT_STARTED, "", str(error))
    return Finished(
        tuple(words), done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )


def start(
    words: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    given: Stream = NOTHING,
    output: Stream = NOTHING,
    errors: Stream | None = None,
    account: Account | None = None,
    session: bool = False,
    ends_with_us: bool = False,
    **more: Any,
) -> Process:
    """Start a program in the background. Its standard error goes to `errors`, by default where its output goes.

    A program in a `session` of its own outlives the terminal. One that `ends_with_us` gets SIGTERM when the thread
    that started it ends. `more` is for `subprocess.Popen`. Raises OSError.
    """
    if ends_with_us:
        import ctypes

        more["preexec_fn"] = partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    return subprocess.Popen(
        words,
        env=environ,
        stdin=given,
        stdout=output,
        stderr=subprocess.STDOUT if errors is None else errors,
        cwd="/",
        start_new_session=session,
        **_as(account),
        **more,
    )


def inherited(changes: Mapping[str, str] | None = None, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Our environment, for a program: with `changes`, and `without` the variables that begin with one of these."""
    kept = {name: value for name, value in os.environ.items() if not without or not name.startswith(without)}
    return {**kept, **(changes or {})}


def find_program(name: str) -> str | None:
    """Its path, looked for on PATH and where programs for root are."""
    import shutil  # most steps do not need it

    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")))


def _as(account: Account | None) -> dict[str, Any]:
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": list(account.groups)}


def wait_until(condition: Callable[[], bool], seconds: float, poll: float = POLL) -> bool:
    """Wait until the condition holds, at most `seconds`. False if it does not hold by then."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll)
    return True
