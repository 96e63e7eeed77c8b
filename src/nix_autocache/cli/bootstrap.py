"""`python -sP -m nix_autocache.cli.bootstrap VERB …`: the command line on a machine that has only a Python.

Makes the environment of packages when it is not there, and installs Nix meanwhile, then goes on as the CLI in this
same process. GitHub's action and GitLab's template both begin here. What is imported is imported where an error, as
that of a Python without all of its standard library, becomes a line and an exit status.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..job.context import Context
    from ..machine.observe import Facts
    from ..machine.packages.environment import Environment


def main(argv: Sequence[str]) -> int:
    """Run a command; its exit status, or 3 if the packages cannot be installed."""
    for number in (signal.SIGINT, signal.SIGTERM):  # whatever the runner's own parent made of them
        signal.signal(number, signal.default_int_handler)
    try:
        facts = _prepare(argv)
        from .main import main as cli
    except KeyboardInterrupt:
        print("nix-autocache: interrupted; nothing was done yet", flush=True)
        return 130
    except Exception as error:
        return _say(error)
    return cli(argv, facts)


def _prepare(argv: Sequence[str]) -> Facts | None:
    """Find or install the packages. While `setup` waits for them it installs Nix; returns the facts it observed."""
    from ..system.files import UMASK

    os.umask(UMASK)
    from .. import settings
    from ..machine.packages import locked

    settings.forget_empty_credentials(os.environ)
    _keep_bytecode()
    context = _context()
    wanted = locked.wanted(context.settings, os.environ, context.cache) if context else locked.wanted(None, os.environ)
    directory, facts = wanted.directory, None
    if directory is None:
        directory, facts = _make(wanted, context if list(argv) == ["setup"] else None)
    sys.path.append(str(directory))
    return facts


def _keep_bytecode() -> None:
    """The action's own directory may be read-only, and to compile it again costs every step 60 ms."""
    from ..machine.packages import locked

    if not sys.pycache_prefix and not os.access(Path(__file__).parent, os.W_OK):
        directory = locked.bytecode(os.environ)
        sys.pycache_prefix = str(directory) if directory else None


def _context() -> Context | None:
    """The inputs; None if they are wrong, which the command will say."""
    from .. import settings
    from ..ci.detect import detect
    from ..errors import Error
    from ..job.context import Context

    host = detect(os.environ)
    with suppress(Error):
        return Context(settings.read(host.inputs, os.environ, {}, strict=host.has_own_inputs), host, os.environ)
    return None


def _make(wanted: Environment, context: Context | None) -> tuple[Path, Facts | None]:
    from ..errors import Error
    from ..machine import modes, observe
    from ..machine.packages import installation
    from ..system import version
    from .setup import install

    making, facts = installation.begin(wanted), None
    try:
        if context:
            context.host.info(f"nix-autocache {version.described()}: installing its packages")
            with suppress(Error, OSError):  # setup does it again, and says what is wrong
                facts = observe.observe(context.environ)
                install(context, modes.decide(facts, context.settings.mode))
        return making.finish(), facts
    except BaseException:
        making.cancel()
        raise


def _say(error: Exception) -> int:
    """One line for what ended this before there was a CLI; the exit status. GitHub shows it where errors are shown."""
    from ..errors import Error, RunnerError, one_line
    from ..system.unexpected import explain

    expected = isinstance(error, (Error, OSError))
    text = one_line(error) if expected else explain(error)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print(f"::error title=nix-autocache::{text.replace('%', '%25')}", flush=True)
    else:
        print(f"nix-autocache: {text}", flush=True)
    return error.exit_code if isinstance(error, Error) else RunnerError.exit_code


if __name__ == "__main__":
    status = main(sys.argv[1:])
    with suppress(OSError):  # nobody reads it any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)  # nothing is left to do, and to take the interpreter apart takes 17 ms
