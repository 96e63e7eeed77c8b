"""Builds that the hook did not queue, found by what is new in the store.

Everything, where no hook can be set. Where one is, what Nix built with settings of its own: a later step changed
nix.conf, or a command was given `--option post-build-hook`.
"""

from __future__ import annotations

import os
from typing import Final

from ..machine.modes import Mode
from ..nix import effective
from ..nix.store import Nix, PathInfo
from ..queue import scan
from ..queue.entry import CANARY
from ..system.process import wait_until
from .context import Context
from .state import JobState

_BUSY: Final = 1.0  # seconds in which Nix calls the hook for what it has just registered
_ALL: Final = 1 << 30


def queue_new(context: Context, state: JobState) -> None:
    """Queue what is new since the last look. With a hook only what it did not tell of, with a warning."""
    if not state.separate_user and not os.access(context.job.queue.new, os.W_OK):
        return  # neither the hook nor we can write there; the flush says why
    nix, before = state.nix, context.job.store_before
    if state.scan:
        found = scan.new_builds(nix, before)
    else:
        found = _missed(context, state, nix)
        if found:
            _warn(context, state, nix, found)
    if not state.separate_user:  # or only the hook can write there
        for info in found:
            context.job.queue.add(info.path.base, [info.path])
        scan.snapshot(nix, before)


def _missed(context: Context, state: JobState, nix: Nix) -> list[PathInfo]:
    # A hook in a user's own configuration is called for that user's builds only.
    if state.chosen is Mode.EXISTING_TRUSTED and _is_ours(context, _hook(context, nix)):
        return []
    built = [info for info in scan.new_builds(nix, context.job.store_before) if info.ultimate]
    found: list[PathInfo] = []

    def is_quiet() -> bool:
        derivations, paths = _told(context)
        found[:] = [info for info in built if CANARY not in info.path and not _is_known(info, derivations, paths)]
        return not found

    if built:
        wait_until(is_quiet, _BUSY, poll=0.1)
    return found


def _told(context: Context) -> tuple[set[str], set[str]]:
    """The derivations that wait in the queue or failed, and every path that has an outcome or waits."""
    queue = context.job.queue
    entries = queue.take(limit=_ALL)  # first: an entry that is done meanwhile has its outcomes by then
    waiting = {entry.name for entry in entries}
    failed = {path.name for path in queue.failed.iterdir()} if queue.failed.is_dir() else set()
    paths = {path for entry in entries for path in entry.outputs}
    return waiting | failed, paths | {outcome.path for outcome in queue.outcomes.recorded()}


def _is_known(info: PathInfo, derivations: set[str], paths: set[str]) -> bool:
    return info.path in paths or info.path.base in derivations or info.deriver.rpartition("/")[2] in derivations


def _warn(context: Context, state: JobState, nix: Nix, found: list[PathInfo]) -> None:
    now = _hook(context, nix)
    why = "a step or a command had settings of its own"
    if not _is_ours(context, now):
        why = f"a later step changed Nix's settings, and `post-build-hook` is now {now or 'empty'}"
    what = f"Nix built {len(found)} paths, such as {found[0].path.name}, without calling our hook: {why}"
    then = "they are not pushed" if state.separate_user else "they were found in the store"
    context.host.warning(f"{what}; {then}")


def _hook(context: Context, nix: Nix) -> str | None:
    """The hook in effect; None where Nix does not say."""
    return effective.of_client(nix, context.environ).get("post-build-hook")


def _is_ours(context: Context, hook: str | None) -> bool:
    return hook is None or hook == str(context.paths.hook)
