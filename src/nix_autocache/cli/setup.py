"""`nix-autocache setup`: make Nix ready, register hook and cache, start the uploader. Start reading here.

First a plan is made that changes nothing, then it is carried out. What came of it is kept in the job's directory, so
that each later step is a process of its own. What changes the machine is imported where it is done: `push` and `flush`
start faster without.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from ..job import decision, preflight
from ..job.context import Context
from ..job.plan import SetupPlan
from ..job.state import JobState
from ..machine import modes, observe, paths
from ..machine.modes import Mode
from ..nix.find import find_nix, real
from ..nix.store import Nix
from ..system import probe, version
from ..system.dataclass import asdict


def setup(context: Context) -> None:
    """Make Nix ready, register hook and cache, start the uploader, and prove that a build reaches the queue."""
    from ..job import outputs

    context.host.info(f"nix-autocache {version.described()}")
    with context.host.group("nix-autocache: setting up"):
        preflight.compare_versions(context)
        state = _hardened_earlier(context) or _set_up(context)
        outputs.export(context, state)


def _hardened_earlier(context: Context) -> JobState | None:
    """An earlier set-up of this job that took root away, and with it the means to set up again."""
    earlier = JobState.load(context.job.setup)
    if earlier is None or not earlier.separate_user or probe.sudo():
        return None
    context.host.info("this job is set up and hardened; an earlier set-up's inputs stay")
    return earlier


def _set_up(context: Context) -> JobState:
    from ..job import managed_job

    plan = make_plan(context)
    nix = install(context, plan.rule)
    preflight.warn(context, plan)
    preflight.check_configuration(context, nix)
    if plan.rule.mode is Mode.MANAGED:
        state = managed_job.join(context, plan.facts)
        state.save(context.job.setup)
        return state
    if context.settings.check:
        from ..job import trial

        trial.require(context, "" if plan.verdict.push else plan.verdict.reason)
    return _carry_out(context, plan, nix)


def _carry_out(context: Context, plan: SetupPlan, nix: Nix) -> JobState:
    """A job with a hook, a queue and an uploader of its own. A set-up that fails leaves nothing registered."""
    from ..job import in_effect, read_proxy, registration, secrets, uploader_start

    facts = plan.facts
    with read_proxy.listening(context, plan) as proxy:
        state = plan.begin(nix, proxy.address if proxy else None)
        destination = context.made_destination()
        destination = destination.with_job_key() if proxy else destination
        known = secrets.read(context, destination) if state.push and not state.separate_user else None
        destination = destination.trusting(str(known.public_key or "")) if known else destination
        with registration.undone_on_failure(context, state):
            state, registered = registration.register_or_scan(context, state, destination, facts)
            begins = state.push or (state.separate_user and proxy)  # only root can start another user's process
            uploader = uploader_start.start(context, state, destination, known, proxy) if begins else None
            state = uploader_start.prove_hook(context, state, uploader) if uploader and state.push else state
            with _locked_down(context, plan, state) as state:
                state, destination = uploader_start.hand_over(context, state, destination, uploader, proxy)
                state = registration.register_changes(context, state, destination, facts, registered)
                state = in_effect.check(context, state, destination, facts)
                state.save(context.job.setup)
    return state


def _locked_down(context: Context, plan: SetupPlan, state: JobState) -> AbstractContextManager[JobState]:
    """With `harden`, root is taken away and the job judged again."""
    if not context.settings.harden:
        return nullcontext(state)
    from ..job import hardening

    return hardening.locked_down(context, plan, state)


def make_plan(context: Context) -> SetupPlan:
    """Look at this machine, decide what to do, and say so. Raises RunnerError where Nix cannot be used here."""
    facts = context.facts or observe.observe(context.environ)
    rule = modes.decide(facts, context.settings.mode)
    plan = SetupPlan.make(context, facts, rule)
    decision.mask(context, plan.destination)
    for line in plan.lines():
        context.host.info(line)
    if rule.mode is not Mode.MANAGED and not context.settings.harden:
        decision.announce(context, plan.destination, plan.verdict)
    return plan


def install(context: Context, rule: modes.ModeRule) -> Nix:
    """Install Nix if the rule says so; nothing to do when run again."""
    from ..machine import installation, root
    from ..nix.install.release import release

    kind = rule.mode.installs
    target = paths.machine(context.environ) if kind == "multi-user" else context.paths
    if kind and not installation.is_complete(target, kind):
        installation.refuse_links()
        inputs = context.settings
        source = release(
            version=inputs.nix_version, url=inputs.nix_url, sha256=inputs.nix_sha256, environ=context.environ
        )
        context.host.info(f"installing Nix from {source.url}")
        if kind == "multi-user":
            root.call("install", asdict(source), context.environ)
        else:
            installation.install(target, kind, source, context.environ)
    nix = find_nix(context.environ)
    assert nix, "it was there, or is by now"
    return real(nix)
