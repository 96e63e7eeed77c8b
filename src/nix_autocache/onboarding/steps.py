"""One thing that `init` makes, and how a list of such steps is planned, carried out and undone.

There is no state file. Each step looks at what is there before it does anything, so `init` can be run again after a
failure or a kill at any moment, and then does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from ..system.dataclass import dataclass
from .terminal import Terminal


class Now(StrEnum):
    """How the thing is that a step is for; the value is what the plan says of it."""

    ABSENT = "make"
    DIFFERENT = "change"
    RIGHT = "keep"


DONE = {Now.ABSENT: "made", Now.DIFFERENT: "changed", Now.RIGHT: "kept"}


@dataclass(frozen=True)
class Found:
    """What a step found. `why` says what differs, or what the user should know; empty if there is nothing to say."""

    now: Now
    why: str = ""


class Step(Protocol):
    """One thing at a service: a bucket, a role, a secret, a pull request."""

    @property
    def thing(self) -> str:
        """Kind and name, as in "bucket nix-cache in eu-west-1"."""

    @property
    def details(self) -> Sequence[str]:
        """Lines that the plan shows below it; none if the name says it all."""

    def look(self) -> Found:
        """What is there now. Changes nothing. Raises Error if the service does not let us look."""

    def apply(self) -> str:
        """Make the thing, or change it into what it should be. Returns what the user wants to see of it, such as the
        address of a pull request, or nothing. Raises Error, which names the permission that is missing."""

    def remove(self) -> str:
        """Take away what `init` made, and only that. Returns why it stays, or nothing if it is gone."""


def plan(steps: Sequence[Step], terminal: Terminal) -> bool:
    """Show what each step would do. False if there is nothing to do. Raises Error as `Step.look`."""
    found = [(step, step.look()) for step in steps]
    for step, each in found:
        terminal.planned(step.thing, each.now, each.why, step.details)
    return any(each.now is not Now.RIGHT for _, each in found)


def carry_out(steps: Sequence[Step], terminal: Terminal) -> None:
    """Do what is left to do, in order. Each step looks again: the plan may be old. Raises Error as `Step.apply`."""
    for step in steps:
        with terminal.working(step.thing):
            found = step.look()
            note = found.why if found.now is Now.RIGHT else step.apply()
        terminal.done(step.thing, DONE[found.now], note)


def undo(steps: Sequence[Step], terminal: Terminal) -> None:
    """Remove what was made, the last first. Raises Error as `Step.remove`."""
    for step in reversed(steps):
        with terminal.working(step.thing):
            stays = step.remove()
        terminal.done(step.thing, "kept" if stays else "removed", stays)
