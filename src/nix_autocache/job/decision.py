"""May this job push? The one place where a verdict is made, before anything is changed and after a lockdown."""

from __future__ import annotations

from collections.abc import Sequence

from ..trust import policy
from ..uploader.environment import is_secret
from .context import Context
from .destination import Destination


def judge(context: Context, destination: Destination, exposures: Sequence[str]) -> policy.Verdict:
    """Whether a job with these exposures may push; a dry run needs no credentials."""
    lacks = "" if context.is_dry_run(destination) else context.lacks(destination)
    hosts = context.repository_cache(destination)
    return policy.judge(
        context.host.event(),
        exposures,
        context.settings.push,
        lacks=(hosts.read_only if hosts else "") or lacks,
        keyless_scope=destination.is_keyless_scope,
    )


def judge_on_managed_machine(context: Context, exposures: Sequence[str]) -> policy.Verdict:
    """The verdict where the machine pushes what all its jobs build; warns of a job that could reach the key."""
    verdict = policy.judge_on_managed_machine(context.host.event(), exposures)
    if verdict.warning:
        context.host.warning(verdict.warning)
    return verdict


def announce(context: Context, destination: Destination, verdict: policy.Verdict) -> None:
    """Say in the log what a user must know of the verdict."""
    if verdict.warning:
        context.host.warning(verdict.warning)
    if not verdict.push:
        context.host.notice(f"pull only: {verdict.reason}")
    if verdict.push and destination.embedded and context.host.ephemeral:
        context.host.warning(f"{destination.url} is lost when this runner ends; set `cache` to keep what is built")


def mask(context: Context, destination: Destination) -> None:
    """Keep secrets out of the log before anything is read; the signing key is masked when it is."""
    of_host = destination.url.row.variables_of_host
    given = [value for name, value in context.environ.items() if name.startswith(of_host) and is_secret(name, value)]
    for secret in (*destination.url.secrets, *given):
        context.host.mask(secret)
    if token := context.identity:
        context.host.mask(token.bearer or token.token)
