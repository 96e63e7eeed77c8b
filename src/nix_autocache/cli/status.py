"""`nix-autocache status` and `doctor`: how far the uploads are, and what `setup` would do on this machine."""

from __future__ import annotations

import json

from ..job import preflight, report
from ..job.context import Context
from ..job.state import JobState
from ..job.uploads import of_job
from ..machine import modes, observe


def doctor(context: Context, *, as_json: bool) -> None:
    """Print what `setup` would choose on this machine, and why; change nothing."""
    seen = observe.observe(context.environ)
    row = modes.decide(seen, context.settings.mode)
    facts = {"mode": row.mode.value, "found": row.found, "observations": seen.to_json()}
    print(json.dumps(facts) if as_json else f"mode {row.mode.value}: {row.found} ({seen})")
    if not as_json:
        preflight.warn(context, row, seen)


def status(context: Context, *, as_json: bool) -> None:
    """Print how far the uploads are."""
    state = JobState.load(context.job.setup)
    uploads = of_job(state)
    answer = uploads.uploader(context).status()
    facts = report.status(state, answer, uploads.queue(context))
    print(json.dumps(facts) if as_json else "\n".join(f"{name}: {value}" for name, value in facts.items()))
