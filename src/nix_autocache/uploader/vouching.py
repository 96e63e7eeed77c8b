"""Which paths may carry our signature: those that Nix itself vouches for, and how it is known that it does.

A path that somebody imported without a signature is not among them: it may hold anything, under any name.
"""

from __future__ import annotations

from ..nix.store import PathInfo


def objection(info: PathInfo, *, built: bool, began: int) -> str:
    """Why a path must not be signed; empty when it may. `built` says that Nix told its hook that it built it,
    `began` is when the job did: what was there before is the machine's own."""
    if info.ultimate or built:
        return ""
    if info.ca:  # its name is made from its content, which Nix compared when it took it
        return ""
    if info.signatures:  # Nix took it because one of them is of a key that it trusts
        return ""
    if info.registered <= began:
        return ""
    return "it was imported without a signature during this job, so nobody vouches for it"
