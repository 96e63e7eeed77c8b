"""Which paths may carry our signature: those that Nix itself vouches for, and how it is known that it does.

A path that somebody imported without a signature is not among them: it may hold anything, under any name.
"""

from __future__ import annotations

from ..nix.keys import PublicKey
from ..nix.store import PathInfo
from ..system.dataclass import dataclass
from .presence import is_signed


@dataclass(frozen=True, kw_only=True)
class Vouching:
    """`began` is when the job did, in seconds since 1970: what was there before is the machine's own.

    `trusted` are the keys of /etc/nix. It is None where the job's user may name others: any signature will do.
    """

    began: int
    trusted: tuple[PublicKey, ...] | None

    @property
    def is_open(self) -> bool:
        """Whether the job's user could do anything that Nix can."""
        return self.trusted is None


def objection(info: PathInfo, vouching: Vouching, *, built: bool) -> str:
    """Why a path must not be signed; empty when it may. `built` says that Nix told its hook that it built it."""
    if info.ultimate or built:
        return ""
    if info.ca:  # its name is made from its content, which Nix compared when it took it
        return ""
    if info.registered <= vouching.began or _signed(info, vouching.trusted):
        return ""
    return "it was imported without a signature that Nix trusts during this job, so nobody vouches for it"


def _signed(info: PathInfo, trusted: tuple[PublicKey, ...] | None) -> bool:
    if trusted is None:
        return bool(info.signatures)
    return is_signed(info, trusted)
