"""The commit that what `init` writes pins this program by."""

from __future__ import annotations

from ..errors import InputError
from ..system import version


def pinned(action_ref: str) -> str:
    """The flag's commit, or else this program's own. Raises InputError if that is not known."""
    commit = action_ref or version.commit()
    if not commit:
        raise InputError(
            "--action-ref: this build does not know its own commit, by which the workflow must pin nix-autocache; "
            "give the 40 digits of a commit of nix-autocache"
        )
    return commit
