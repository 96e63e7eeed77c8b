"""May this job push, and which of the four limitations does that solve?

The limitations are Florian Klink's (NixCon 2019), see docs/trust.md. *Exposures* are the ways in which the job's own
code could reach the key or the store, see `isolation`. A job without any is sealed; every report must name the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ..ci.host import Event
from ..settings import Push
from ..system.dataclass import dataclass

LIMITATIONS: Final = {
    1: "dependencies need not be known to be pushed",
    2: "a failed build keeps its finished dependencies",
    3: "no upload code in the pipeline",
    4: "the pipeline's code cannot take the key or poison the cache",
}


# Assumptions behind a yes to the fourth, which nobody can test, see docs/threat-model.md.
ASSUMED: Final = (
    "nothing hostile ran here before this step",
    "neither the kernel nor a program of root has a hole",
    "the CI host gives later steps none of this step's secrets in a way that is not known",
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`unsolved` maps each limitation that is not solved to the reason."""

    push: bool
    reason: str
    warning: str = ""
    unsolved: Mapping[int, str]


def judge(event: Event, exposures: Sequence[str], push: Push, *, lacks: str, keyless_scope: bool = False) -> Verdict:
    """The verdict of the trust matrix. A job without exposures is sealed.

    `lacks` says which credentials or rights the job does not have, empty if it has all. With a `keyless_scope`, no
    signing key is used, and the host keeps what this event writes apart from what trusted ones read.
    """
    if push == "never":
        return _pull("push: never was asked for")
    if lacks:
        return _pull(lacks)
    if keyless_scope:
        reason = f"{_describe(event)}, in the scope of its own ref and without a key"
        return Verdict(push=True, reason=reason, unsolved={4: "; ".join(exposures)})
    if event.origin != "own" and exposures and push != "always":
        return _pull(f"{_describe(event)} is not trusted, and the key would be in its reach: {exposures[0]}")
    if not exposures:
        return Verdict(push=True, reason=f"{_describe(event)}, and the key is out of the job's reach", unsolved={})
    warning = "push: always hands the key to code that is not trusted" if event.origin != "own" else ""
    reason = f"{_describe(event)} is trusted" if event.origin == "own" else "push: always was asked for"
    return Verdict(push=True, reason=reason, warning=warning, unsolved={4: "; ".join(exposures)})


def judge_on_managed_machine(event: Event, exposures: Sequence[str]) -> Verdict:
    """The verdict on a managed machine, whose uploader pushes the builds of all jobs, trusted or not."""
    reason = "this machine uploads what all its jobs build"
    warning = ""
    if exposures and event.origin != "own":
        warning = f"{reason}, this one's too, which is not trusted and could reach the key: {exposures[0]}"
    return Verdict(push=True, reason=reason, warning=warning, unsolved={4: "; ".join(exposures)} if exposures else {})


def _pull(reason: str) -> Verdict:
    return Verdict(push=False, reason=reason, unsolved=dict.fromkeys(LIMITATIONS, "nothing is pushed"))


def _describe(event: Event) -> str:
    whose = {"own": "", "fork": " from a fork", "unknown": " of unknown origin"}[event.origin]
    return f"{event.name}{whose}"
