"""`nix-autocache provision`: make this machine upload what all its jobs build, as its configuration says."""

from __future__ import annotations

from dataclasses import replace

from ..errors import RunnerError
from ..job.context import Context
from ..nix.find import find_nix


def provision(context: Context) -> None:
    """Make this machine upload what all its jobs build, as its configuration says."""
    from ..job import preflight
    from ..job.nix_conf import register
    from ..job.state import JobState
    from ..machine.managed import configuration
    from ..machine.managed import provision as provisioning
    from ..queue import hook
    from ..trust import policy
    from .setup import choose, install

    provisioning.check()
    told = configuration.load()
    told.check_secrets()
    context = replace(context, settings=told.settings, host=provisioning.Machine(context.environ))
    row, seen = choose(context)
    found = install(context, row)
    # By its profile, since what that leads to now may be collected in the months of this machine.
    nix = find_nix(context.environ) or found
    preflight.check_configuration(context, nix)
    place = context.destination().trusting_itself({})
    verdict = policy.Verdict(push=True, reason="", unsolved={})
    note = provisioning.prepare(context.places, told, nix)
    state = JobState.begin(row, nix, note.cache, verdict, apart=True, reader_port=note.reader_port)
    with provisioning.reader_socket(context.places, note) as waiting:
        register(context, state, place, seen)
        answer = provisioning.start(context.places, told, note, waiting)
    if (trusted := place.trusting(answer.public_key)) != place:
        register(context, state, trusted, seen)
    if doubts := place.doubts(answer.public_key):
        context.host.warning(doubts)
    canary = hook.try_canary(nix, context.job.queue, context.environ)
    if not canary.heard:
        unheard = "Nix does not call the post-build hook: is there another one in its configuration?"
        raise RunnerError(canary.error or unheard)
    for trouble in filter(None, (answer.error, answer.progress.trouble)):
        context.host.warning(f"nothing is uploaded yet: {trouble}")
    context.host.info(f"provisioned: what jobs build here goes to {state.cache}")
