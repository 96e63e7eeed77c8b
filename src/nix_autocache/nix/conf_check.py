"""Checks lines for nix.conf with Nix itself, before they are written.

With a line that it cannot read, no Nix on this machine would run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..errors import InputError
from ..system import process
from . import secret_lines
from .store import Nix


def check(nix: Nix, text: str, name: str) -> Sequence[str]:
    """Nix's warnings about lines for nix.conf. Raises InputError, with the line, for a line that Nix refuses."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    for number, line in lines:
        words = line.partition("#")[0].split()
        if words and not words[0].endswith("include") and (len(words) < 2 or words[1] != "="):
            raise InputError(f"{name}: line {number}: {secret_lines.shown(line, line)!r} is not `name = value`")
    good, said = _evaluate(nix, text)
    if good and not said:
        return []
    warnings = []
    for number, line in lines:
        good, said = _evaluate(nix, line)
        if not good:
            raise InputError(
                f"{name}: line {number}: {secret_lines.shown(line, line)!r}: {secret_lines.shown(line, said)}"
            )
        if said:
            warnings.append(f"{name}: line {number}: {secret_lines.shown(line, said)}")
    return warnings


def _evaluate(nix: Nix, text: str) -> tuple[bool, str]:
    """Run Nix with only these lines. True if it runs, and what it says."""
    empty = "/var/empty"  # also as HOME, which a user without an account lacks
    environ = {"PATH": os.defpath, "HOME": empty, "NIX_CONF_DIR": empty, "NIX_USER_CONF_FILES": "", "NIX_CONFIG": text}
    command = [nix.program("nix-instantiate"), "--eval", "--expr", "1", "--store", "dummy://"]
    done = process.run(command, environ=environ)
    words = " ".join(done.error.split())
    return done.status == 0, words.removeprefix("error: ").removeprefix("warning: ")
