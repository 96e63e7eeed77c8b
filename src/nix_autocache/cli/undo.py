"""`nix-autocache undo`: bring this machine back to what it was before the first setup."""

from __future__ import annotations

from ..job.context import Context
from ..nix.find import find_nix


def undo(context: Context) -> None:
    """Undo what was done for this user, then, by root, what was done for the machine."""
    from ..machine import paths, root
    from ..machine import undo as machine_undo
    from ..queue import hook

    machine_undo.undo(context.own_paths)
    if paths.machine(context.environ).state.exists():
        root.call("undo", {}, context.environ)
    if nix := find_nix(context.environ):
        hook.forget_canaries(nix)
    context.host.info("undone: nothing of nix-autocache is left but the caches and keys that it made")
