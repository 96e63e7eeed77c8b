"""`python -sP -m nix_autocache.bootstrap VERB …`: the command line on a machine that has only a Python.

Makes the environment of packages when it is not there, and installs Nix meanwhile, then goes on as the CLI in this
same process. GitHub's action and GitLab's template both begin here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from . import environment, settings
from .context import Context
from .environment import Environment
from .errors import Error, RunnerError, one_line
from .platforms import detect
from .steps import install


def main(argv: Sequence[str]) -> int:
    """Run a verb of the CLI; its exit status, or 3 when the packages cannot be had."""
    context = _context()
    wanted = environment.wanted(context.settings if context else None, os.environ)
    if not wanted.ready:
        try:
            _make(wanted, context if "setup" in argv[:1] else None)
        except RunnerError as error:
            print(f"nix-autocache: {one_line(error)}", flush=True)
            return error.exit_code
    sys.path.append(str(wanted.directory))
    from .cli import main as cli

    return cli(argv)


def _context() -> Context | None:
    """The inputs, or None where they are wrong: the CLI will say how."""
    platform = detect(os.environ)
    with suppress(Error):
        return Context(settings.read(platform.inputs, os.environ, {}), platform, os.environ)
    return None


def _make(wanted: Environment, context: Context | None) -> None:
    """Make the environment; for a set-up, install Nix at the same time."""
    making = wanted.begin()
    if context:
        with suppress(Error):  # setup does it again, and says what is wrong
            install(context)
    making.finish()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
