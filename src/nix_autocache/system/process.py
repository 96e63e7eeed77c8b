"""Other programs, run to their end or in the background, and conditions waited for. Nothing else here starts one.

A program gets no terminal, no standard input unless it is given some, and `/` as its working directory: what lies in
the job's own directory (configuration of tools, Python modules) is not ours to obey.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Final, TypeAlias

from ..errors import RunnerError

POLL: Final = 0.01  # seconds between two looks at a condition
NOTHING: Final = subprocess.DEVNULL
PIPE: Final = subprocess.PIPE
NOT_STARTED: Final = 127  # what a shell says
TimeoutExpired = subprocess.TimeoutExpired
_PR_SET_PDEATHSIG: Final = 1

Stream: TypeAlias = int | IO[bytes]
"""A file, its descriptor, NOTHING or PIPE."""
Process: TypeAlias = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Account:
    """Another user, by number, and that user's group. A program gets these two and of further groups only `groups`."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Finished:
    """A program that ended. Its output is decoded as UTF-8; bytes that are not are replaced."""

    words: tuple[str, ...]
    status: int
    output: str
    error: str

    @property
    def reason(self) -> str:
        """The last line that it printed, on standard error if there is one."""
        lines = (self.error.strip() or self.output.strip()).splitlines()
        return lines[-1].strip() if lines else f"it said nothing and ended with status {self.status}"

    def check(self, what: str) -> Finished:
        """This. Raises RunnerError, which begins with `what`, where the program failed."""
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
    """Run a program with `given` on its standard input; `environ` is all of its environment, None for ours.

    Root may name the `account` that it runs as. Raises nothing: a program that cannot be started has status 127, one
    killed after `timeout` seconds -9.
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
    """Start a program in the background, with its standard error where its output goes unless `errors` says where.

    A `session` of its own outlives the terminal. What `ends_with_us` is told to end when the thread that started it
    does. `more` is for `subprocess.Popen`. Raises OSError.
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


def _as(account: Account | None) -> dict[str, Any]:
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": list(account.groups)}


def wait_until(condition: Callable[[], bool], seconds: float, poll: float = POLL) -> bool:
    """Wait for a condition, at most so many seconds; whether it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll)
    return True
