"""`nix-autocache provision`: make this machine upload what all its jobs build, as its configuration says."""

from __future__ import annotations

from ..errors import RunnerError
from ..job.context import Context
from ..nix.find import find_nix
from ..nix.store import Nix
from ..system.dataclass import replace


def provision(context: Context) -> None:
    """Install, register and start what the configuration says. Raises RunnerError if the hook does not fire."""
    from ..job import preflight
    from ..job.plan import mode_line
    from ..job.registration import register, wanted
    from ..job.state import JobState
    from ..machine import modes, observe
    from ..machine.managed import configuration
    from ..machine.managed import provision as machine
    from ..trust import policy
    from ..uploader.secrets import SecretSources
    from .setup import install

    machine.check()
    configured = configuration.load()
    configured.check_secrets()
    context = replace(context, settings=configured.settings, host=machine.ProvisioningHost(context.environ))
    facts = observe.observe(context.environ)
    rule = modes.decide(facts, context.settings.mode)
    context.host.info(mode_line(rule, facts))
    found = install(context, rule)
    # By its profile, since what that leads to now may be collected in the months of this machine.
    nix = find_nix(context.environ) or found
    preflight.check_configuration(context, nix)
    destination = context.made_destination()
    key = SecretSources(destination.url, destination.key_source, {}).read().public_key
    destination = destination.trusting(str(key or ""))
    verdict = policy.Verdict(push=True, reason="", unsolved={})
    record = machine.prepare(context.paths, configured, nix)
    state = JobState.begin(rule.mode, nix, record.cache, verdict, separate_user=True, reader=record.reader)
    with machine.reader_socket(context.paths, record) as proxy:
        registered = register(context, state, destination, facts)
        reply = machine.start(context.paths, configured, record, proxy)
    if doubts := destination.doubts(reply.public_key):
        context.host.warning(doubts)
    destination = destination.trusting(reply.public_key)
    if wanted(context, state, destination, facts) != registered:
        register(context, state, destination, facts)
    _prove_hook(context, nix)
    for trouble in filter(None, (reply.error, reply.progress.trouble)):
        context.host.warning(f"nothing is uploaded yet: {trouble}")
    context.host.info(f"provisioned: what jobs build here goes to {state.cache}")


def _prove_hook(context: Context, nix: Nix) -> None:
    from ..queue import hook

    canary = hook.try_canary(nix, context.job.queue, context.environ)
    if not canary.heard:
        unheard = "Nix does not call the post-build hook: is there another one in its configuration?"
        raise RunnerError(canary.error or unheard)
