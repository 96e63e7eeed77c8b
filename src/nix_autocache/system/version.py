"""The version of this program: its number, and the commit that it was made from.

The commit is in `commit.txt` beside the packages. In a checkout that file has none, and Git is asked. What a user runs
is no checkout, and there the file is filled: by Git in the archives that GitHub serves for an action (`export-subst`
in .gitattributes), by setup.py in a wheel, by GitLab's component in what it fetched.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from .. import __version__
from . import process

HOME: Final = "https://github.com/nix-autocache/nix-autocache"
PACKAGE: Final = Path(__file__).parents[1]
_COMMIT: Final = re.compile("[0-9a-f]{40}")
_SHORT: Final = 12  # digits for people


def recorded_commit(package: Path = PACKAGE) -> str:
    """The commit in `commit.txt`; empty in a checkout, and in a copy of a checkout without its repository."""
    try:
        text = (package / "commit.txt").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
    return text if _COMMIT.fullmatch(text) else ""


def commit(package: Path = PACKAGE) -> str:
    """The commit that this program was made from, or that its checkout is at; empty if neither is known."""
    return recorded_commit(package) or _of_checkout(package)


def described(package: Path = PACKAGE) -> str:
    """As in `0.1.0 (abcdef123456)`, or without the commit where it is not known."""
    known = commit(package)[:_SHORT]
    return f"{__version__} ({known})" if known else __version__


def user_agent() -> str:
    """The User-Agent of our HTTP requests, as in `nix-autocache/0.1.0+abcdef123456 (+https://…)`. Starts no Git."""
    known = recorded_commit()[:_SHORT]
    return f"nix-autocache/{__version__}{'+' if known else ''}{known} (+{HOME})"


def _of_checkout(package: Path) -> str:
    """An environment inside of somebody's own checkout is none: Git does not track the module there."""
    root = package.parents[1]
    if package.parts[-2:] != ("src", "nix_autocache") or not (root / ".git").exists():
        return ""
    tracked = process.run(["git", "-C", str(root), "ls-files", "--error-unmatch", str(package / "__init__.py")])
    return "" if tracked.status else process.run(["git", "-C", str(root), "rev-parse", "HEAD"]).output.strip()
