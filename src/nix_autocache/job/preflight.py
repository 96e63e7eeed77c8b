"""What a user should know of a machine that can be used, but not as well as it could."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .. import settings
from ..machine.modes import Mode, ModeRule
from ..machine.observe import Facts
from ..nix import conf
from ..nix.store import Nix
from .context import Context
from .report import size

_ENOUGH: Final = 2_000_000_000  # bytes that should be free


def warn(context: Context, row: ModeRule, seen: Facts) -> None:
    """A warning for each thing."""
    if row.mode.installs and not seen.namespaces:
        context.host.warning(
            "builds are not sandboxed (sandbox = false): this container allows no namespaces; "
            "a privileged one, or another runner, would"
        )
    if row.mode is Mode.EXISTING_SCAN:
        then = "what is new in the store is looked for at the end of the job instead"
        if seen.daemon_outside:
            context.host.warning(f"{row.no_hook}: {then}; a Nix of the container's own would upload builds at once")
        else:
            context.host.warning(
                f"the nix-daemon does not trust this user, so the hook cannot be set: {then}; put the user into "
                "trusted-users to have builds uploaded at once"
            )
    for sentence in settings.doubtful(context.environ):
        context.host.warning(sentence)
    if (url := context.settings.cache) and url.unused:
        context.host.warning(f"cache: {', '.join(url.unused)} changes nothing here: only `nix copy` knows it")
    for directory, free in _full(context):
        context.host.warning(f"only {size(free)} are free in {directory}: a build may fail of it")


def check_configuration(context: Context, nix: Nix) -> None:
    """Look at extra-nix-conf before Nix must read it. Raises InputError, with the line."""
    if text := context.settings.extra_nix_conf:
        for warning in conf.check(nix, text, "extra-nix-conf"):
            context.host.warning(warning)


def _full(context: Context) -> Iterator[tuple[Path, int]]:
    """The directories that we fill and that have little room, one for each file system."""
    seen = set()
    cache = context.settings.cache
    wanted = [Path("/nix"), context.places.state]
    wanted.append(Path(cache.path) if cache and cache.scheme == "file" else context.kept.cache)
    for directory in wanted:
        while not directory.exists():
            directory = directory.parent
        device = directory.stat().st_dev
        free = shutil.disk_usage(directory).free
        if device not in seen and free < _ENOUGH:
            yield directory, free
        seen.add(device)
