"""`nix-autocache setup`: make Nix ready, register hook and cache, start the uploader. Start reading here.

What it decided is kept in the job's directory, so that each later step is a process of its own. What changes the
machine is imported where it is done: a step that only uploads starts faster without.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..job import decision, own_uploads, preflight, shared_uploads
from ..job.context import Context
from ..job.destination import Destination
from ..job.state import JobState
from ..machine import modes, observe, paths
from ..machine.modes import Mode
from ..nix.find import find_nix, real
from ..nix.store import Nix
from ..queue import hook
from ..system import probe
from ..uploader.process.client import UploaderClient

if TYPE_CHECKING:
    from ..job.hardening import Isolation
    from ..uploader.read_proxy.launch import Waiting


def setup(context: Context) -> None:
    """Make Nix ready, register hook and cache, start the uploader, and see that a build reaches the queue."""
    from ..job import outputs
    from ..job.hardening import Isolation

    with context.host.group("nix-autocache: setting up"):
        if (earlier := JobState.load(context.job.setup)) and earlier.apart and not probe.sudo():
            context.host.info("this job is set up and hardened; an earlier set-up's inputs stay")
            outputs.tell(context, earlier)
            return
        row, seen = choose(context)
        nix = install(context, row)
        preflight.warn(context, row, seen)
        preflight.check_configuration(context, nix)
        if row.mode is Mode.MANAGED:
            state = shared_uploads.join(context, row, seen)
            state.save(context.job.setup)
        else:
            state = _open(context, Isolation(context, row, seen, context.destination()), nix)
        outputs.tell(context, state)


def _open(context: Context, isolation: Isolation, nix: Nix) -> JobState:
    """A job with a hook, a queue and an uploader of its own."""
    place = isolation.place
    decision.mask(context, place)
    verdict = decision.judge(context, place, isolation.foreseen)
    if not context.settings.harden:
        decision.announce(context, place, verdict)
    with decision.reader_socket(context, place, verdict) as waiting:
        port = waiting.port if waiting else 0
        cache = place.url.without_secrets
        planned = JobState.begin(isolation.row, nix, cache, verdict, apart=isolation.apart, reader_port=port)
        planned = _without_hook(context, planned)
        if planned.push and not planned.apart:
            place = place.trusting_itself(context.environ)
        return _begin(context, planned, place, isolation, waiting)


def _without_hook(context: Context, planned: JobState) -> JobState:
    """The plan, changed where the hook cannot be run: the store is scanned instead.

    Only the hook and root can write the queue of an uploader that is apart.
    """
    where = paths.machine(context.environ) if planned.chosen.daemon else context.places
    reason = hook.obstacle(where.hook) if planned.push and not planned.scan else ""
    if not reason:
        return planned
    instead = "not pushing" if planned.apart else "what is new in the store is looked for at the end of the job instead"
    context.host.warning(f"{reason}: {instead}")
    return planned.only_pulling(reason) if planned.apart else planned.scanning(reason)


def _begin(
    context: Context, planned: JobState, place: Destination, isolation: Isolation, waiting: Waiting | None
) -> JobState:
    """Register, and start to upload; the state as it came out. A set-up that fails leaves nothing registered."""
    from ..job.in_effect import check, tell_nix
    from ..job.nix_conf import unregister, vouch

    try:
        place = vouch(context, place, planned.nix)
        planned = tell_nix(context, planned, place, isolation.seen)
        state, started = own_uploads.start(context, planned, place, waiting) if planned.push else (planned, None)
        with isolation.taking_root_away():
            if context.settings.harden:
                state = isolation.judge(state)
            state, trusted = own_uploads.hand_over(context, state, place, started) if started else (state, place)
            decided = (state.push, state.scan, state.unread, trusted)
            if decided != (planned.push, planned.scan, planned.unread, place) and not state.apart:
                state = tell_nix(context, state, trusted, isolation.seen)
            state = check(context, state, trusted, isolation.seen)
            state.save(context.job.setup)
    except BaseException:
        UploaderClient(context.job.directory).stop()
        unregister(context, planned)
        raise
    return state


def choose(context: Context) -> tuple[modes.ModeRule, observe.Facts]:
    """Look at this machine and choose the row of the mode table; say so."""
    seen = context.seen or observe.observe(context.environ)
    row = modes.decide(seen, context.settings.mode)
    context.host.info(f"mode {row.mode.value}: {row.found} ({seen})")
    return row, seen


def install(context: Context, row: modes.ModeRule) -> Nix:
    """Install Nix if the row says so; nothing to do when run again."""
    from ..machine import installation, root
    from ..nix.install.release import release

    kind = row.mode.installs
    where = paths.machine(context.environ) if kind == "multi-user" else context.places
    if kind and not installation.is_complete(where, kind):
        installation.refuse_links()
        inputs = context.settings
        source = release(version=inputs.nix_version, url=inputs.nix_url, sha256=inputs.nix_sha256)
        context.host.info(f"installing Nix from {source.url}")
        if kind == "multi-user":
            root.call("install", dataclasses.asdict(source), context.environ)
        else:
            installation.install(where, kind, source)
    nix = find_nix(context.environ)
    assert nix, "it was there, or is by now"
    return real(nix)
