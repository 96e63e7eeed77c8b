"""`python -sP -m nix_autocache.bootstrap VERB …`: the command line on a machine that has only a Python.

Makes the environment of packages when it is not there, and installs Nix meanwhile, then goes on as the CLI in this
same process. GitHub's action and GitLab's template both begin here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from . import environment, settings
from .context import Context
from .environment import Environment
from .errors import Error, RunnerError, one_line
from .platforms import detect

if TYPE_CHECKING:
    from .runner import Observations


def main(argv: Sequence[str]) -> int:
    """Run a verb of the CLI; its exit status, or 3 when the packages cannot be had."""
    context = _context()
    wanted = environment.wanted(context.settings if context else None, os.environ)
    seen = None
    if not wanted.ready:
        try:
            seen = _make(wanted, context if list(argv) == ["setup"] else None)
        except RunnerError as error:
            print(f"nix-autocache: {one_line(error)}", flush=True)
            return error.exit_code
    sys.path.append(str(wanted.directory))
    from .cli import main as cli

    return cli(argv, seen)


def _context() -> Context | None:
    """The inputs, or None where they are wrong: the CLI will say how."""
    platform = detect(os.environ)
    with suppress(Error):
        return Context(settings.read(platform.inputs, os.environ, {}), platform, os.environ)
    return None


def _make(wanted: Environment, context: Context | None) -> Observations | None:
    """Make the environment; for a set-up, install Nix at the same time, on a machine of which this was seen."""
    making, seen = wanted.begin(), None
    if context:
        from . import runner
        from .steps import install

        with suppress(Error):  # setup does it again, and says what is wrong
            seen = runner.observe(context.environ)
            install(context, runner.decide(seen, context.settings.mode))
    making.finish()
    return seen


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # nothing is left to do, and to take the interpreter apart takes 17 ms
