"""What people do outside of a job: push paths, make a key, provision a machine, bring one back.

Each imports what it needs, `push` when Nix and the cache have begun to answer.
"""

from __future__ import annotations

from ..job.context import Context
from ..nix.find import find_nix


def undo(context: Context) -> None:
    """Bring the machine back to what it was before the first setup."""
    from ..machine import paths as places
    from ..machine import root
    from ..machine import undo as undo_
    from ..queue import hook

    undo_.uninstall(context.own_places, daemon=False)
    if places.machine(context.environ).state.exists():
        root.call("undo", {}, context.environ)
    if nix := find_nix(context.environ):
        hook.forget_canaries(nix)
    context.host.info("undone: nothing of nix-autocache is left but the caches and keys that it made")
