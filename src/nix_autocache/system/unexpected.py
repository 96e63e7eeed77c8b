"""Bugs of ours: one line for the user, and the traceback in a file that only this user can read.

The line repeats no value, because the text of an exception may contain a secret.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path


def explain(error: BaseException) -> str:
    """The line for an exception that no code expects."""
    if isinstance(error, ImportError) and error.name and not error.name.startswith("nix_autocache"):
        return f"the Python {sys.executable} lacks the module {error.name}: install all of Python's standard library"
    steps = traceback.extract_tb(error.__traceback__)
    where = f"{Path(steps[-1].filename).name}, line {steps[-1].lineno}" if steps else "an unknown line"
    return (
        f"unexpected {type(error).__name__} in {where}; this is a bug of nix-autocache: report it with {_keep(error)}"
    )


def _keep(error: BaseException) -> str:
    """Write the traceback to a file, and return the words that name it."""
    try:
        descriptor, name = tempfile.mkstemp(prefix="nix-autocache-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return "this line"
    return f"the traceback in {name}"
