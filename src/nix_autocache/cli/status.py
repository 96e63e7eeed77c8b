"""`nix-autocache status` and `doctor`: how far the uploads are, and what `setup` would do on this machine."""

from __future__ import annotations

import json

from ..job import preflight, report
from ..job.context import Context
from ..job.plan import SetupPlan
from ..job.state import JobState
from ..job.uploads import of_job
from ..machine import modes, observe
from ..system import version


def doctor(context: Context, *, as_json: bool) -> None:
    """Print the plan that `setup` would carry out on this machine; change nothing."""
    facts = observe.observe(context.environ)
    plan = SetupPlan.make(context, facts, modes.decide(facts, context.settings.mode))
    lines, described = list(plan.lines()), version.described()
    if as_json:
        known = {"mode": plan.rule.mode.value, "found": plan.rule.found, "observations": facts.to_json()}
        print(json.dumps({"version": described, **known, "plan": lines}))
        return
    print("\n".join([f"nix-autocache {described}", *lines]))
    preflight.warn(context, plan)


def status(context: Context, *, as_json: bool) -> None:
    """Print how far the uploads are."""
    state = JobState.load(context.job.setup)
    uploads = of_job(state)
    reply = uploads.uploader(context).status()
    facts = report.status(state, reply, uploads.queue(context))
    print(json.dumps(facts) if as_json else "\n".join(f"{name}: {value}" for name, value in facts.items()))
