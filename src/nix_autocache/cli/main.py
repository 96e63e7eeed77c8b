"""The entry of the command line, and the only place that turns an error into an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from ..ci.detect import detect
from ..ci.host import Host
from ..ci.local import Local
from ..errors import Error, RunnerError, one_line
from ..job.context import Context
from ..settings import INPUTS, Settings, forget_empty_credentials, read
from ..system import memory
from ..system.files import UMASK
from ..system.home import stand_in
from .verbs import VERBS, parse

if TYPE_CHECKING:
    from ..machine.observe import Facts

_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None, facts: Facts | None = None) -> int:
    """Run a verb; the exit status is the design's: 0 done, 1 uploads failed, 2 input, 3 runner, 4 deadline.

    `facts` are those of this machine, if it was observed already.
    """
    memory.protect_memory()
    for stream in (sys.stdout, sys.stderr):  # a name that is not UTF-8 must not end us
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    os.umask(UMASK)
    options = parse(sys.argv[1:] if argv is None else argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # whatever the runner's own parent made of them
        signal.signal(number, signal.default_int_handler)
    forget_empty_credentials(os.environ)
    host: Host = Local(os.environ)
    try:
        host = detect(os.environ)
        if home := stand_in(os.environ):
            _move_home(home, host, options.verb)
        verb = VERBS[options.verb]
        verb.run(Context(_settings(host, options), host, os.environ, facts), options)
    except BaseException as error:
        text, status = _answer(error)
        with suppress(OSError):  # nobody reads it any more
            host.error(text)
        return status
    return 0


def _move_home(home: Path, host: Host, verb: str) -> None:
    """Set HOME, which Nix and we need: in this process and, by `setup`, in the job's later steps."""
    if verb == "setup":
        had = os.environ.get("HOME")
        host.info(f"HOME is {home} from here on: {had or 'it was not set, and'} is of no use to this user")
        host.export("HOME", str(home))
    os.environ["HOME"] = str(home)


def _answer(error: BaseException) -> tuple[str, int]:
    """The line for an error, and the exit status. Raises what is neither an error nor an interruption."""
    match error:
        case Error():
            return one_line(error), error.exit_code
        case OSError():  # a full disk, a read-only file system: nothing that a traceback would explain
            return one_line(error), RunnerError.exit_code
        case KeyboardInterrupt():
            text = str(error) or "interrupted; what was not pushed stays in the queue for the next flush"
            return text, _INTERRUPTED
        case Exception():
            from ..system.unexpected import explain

            return explain(error), RunnerError.exit_code
    raise error


def _settings(host: Host, options: SimpleNamespace) -> Settings:
    """The inputs; a verb that takes none may have flags of the same names, which mean something else."""
    rows = INPUTS if VERBS[options.verb].takes_inputs else ()
    flags = {row.name: value for row in rows if (value := getattr(options, row.attribute, None))}
    return read(host.inputs, os.environ, flags, strict=host.has_own_inputs)
