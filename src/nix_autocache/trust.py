"""Whether a job may push, and which of the four limitations that solves: from event and isolation to a verdict.

The limitations are Florian Klink's (NixCon 2019), see docs/trust.md. Isolation is what the job's own code can
reach; where it is open, the job could read the key and write the store, and no report of ours may deny it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from .platforms import Event
from .settings import Push

Isolation = Literal["sealed", "open"]

LIMITATIONS: Final = {
    1: "dependencies need not be known to be pushed",
    2: "a failed build keeps its finished dependencies",
    3: "no upload code in the pipeline",
    4: "the pipeline's code cannot take the key or poison the cache",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`unsolved` maps a limitation to the reason why it is not solved; the others are."""

    push: bool
    reason: str
    warning: str = ""
    unsolved: Mapping[int, str]

    @property
    def solved(self) -> str:
        return ",".join(str(number) for number in LIMITATIONS if number not in self.unsolved)


def judge(event: Event, isolation: Isolation, push: Push, *, lacks: str) -> Verdict:
    """The cell of the trust matrix that this job is in; `lacks` says which credentials it has not."""
    if push == "never":
        return _pull("push: never was asked for")
    if lacks:
        return _pull(lacks)
    if event.origin != "own" and isolation == "open" and push != "always":
        return _pull(f"{_describe(event)} is not trusted, and on this runner its code could read the key")
    if isolation == "sealed":
        return Verdict(push=True, reason=f"{_describe(event)}, and the key is out of the job's reach", unsolved={})
    warning = "push: always hands the key to code that is not trusted" if event.origin != "own" else ""
    why_not_4 = "the job's user is root or can become it, so its code could read the key"
    return Verdict(push=True, reason=f"{_describe(event)} is trusted", warning=warning, unsolved={4: why_not_4})


def _pull(reason: str) -> Verdict:
    return Verdict(push=False, reason=reason, unsolved=dict.fromkeys(LIMITATIONS, "nothing is pushed"))


def _describe(event: Event) -> str:
    whose = {"own": "", "fork": " from a fork", "unknown": " of unknown origin"}[event.origin]
    return f"{event.name}{whose}"
