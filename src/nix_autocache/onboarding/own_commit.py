"""The commit of this program, by which what `init` writes pins it: of the checkout that it runs from, or of the
repository that pip installed it from."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..system import process

_DISTRIBUTION = "nix-autocache"


def pinned(action_ref: str) -> str:
    """The flag's commit, or else this program's own. Raises InputError if that is not known."""
    commit = action_ref or of_installation() or of_checkout(Path(__file__))
    if not commit:
        raise InputError(
            "--action-ref: this build does not know its own commit, by which the workflow must pin nix-autocache; "
            "give the 40 digits of a commit of nix-autocache"
        )
    return commit


def of_installation(distribution: str = _DISTRIBUTION) -> str:
    """The commit that pip recorded for `pip install git+URL@…`; empty for other installations.

    Format: "Recording the Direct URL Origin of installed distributions" of packaging.python.org.
    """
    try:
        text = metadata.distribution(distribution).read_text("direct_url.json")
        known: Any = json.loads(text or "{}")
        return str(known["vcs_info"]["commit_id"])
    except (metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        return ""


def of_checkout(module: Path) -> str:
    """The commit of the checkout that has this `module` in `src/nix_autocache/onboarding`; empty outside of one.

    An environment inside of somebody's own checkout is none: git does not track the module there.
    """
    tracked = process.run(["git", "-C", str(module.parent), "ls-files", "--error-unmatch", module.name])
    if tracked.status or module.parts[-4:-1] != ("src", "nix_autocache", "onboarding"):
        return ""
    return process.run(["git", "-C", str(module.parent), "rev-parse", "HEAD"]).output.strip()
