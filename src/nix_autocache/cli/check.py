"""`nix-autocache check`: does the cache work, with the inputs and the credentials at hand?"""

from __future__ import annotations

from ..errors import Error
from ..job import trial
from ..job.context import Context
from ..onboarding.terminal import terminal


def check(context: Context, *, as_json: bool) -> None:
    """Show what works and what does not. Raises Error if something does not."""
    shown = terminal(as_json=as_json)
    failed = 0
    for row in trial.rows(context):
        if row.works is False and row.is_warning:
            shown.warning(f"not so: {row.what}: {row.advice}")
        else:
            shown.checked(row.what, works=row.works, advice=row.advice)
        failed += row.fails
    if failed:
        raise Error(
            f"check: {failed} of these {'does' if failed == 1 else 'do'} not work; see what to do beside each NO"
        )
