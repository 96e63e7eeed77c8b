"""The steps that give jobs what they must know: a variable of the repository, and a secret.

A variable is compared with what it should be. A secret cannot be: one that is there is kept, unless it is to be
replaced. Where both halves of a key are stored, the variable with the public half comes first: after a kill between
the two, the secret is the one that is missing, and a new pair takes the place of the half.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..system.dataclass import dataclass, field
from .repository import Repository
from .steps import Found, Now

OURS: Final = "NIX_"  # variables and secrets that begin with this are of `init` alone


@dataclass(frozen=True)
class VariableStep:
    """A variable of the repository, which all jobs see."""

    repository: Repository
    name: str
    value: str

    @property
    def thing(self) -> str:
        return f"variable {self.name}"

    @property
    def details(self) -> Sequence[str]:
        return (self.value,)

    def look(self) -> Found:
        """Whether it is there with this value."""
        value = self.repository.variable(self.name)
        if value is None:
            return Found(Now.ABSENT)
        return Found(Now.RIGHT) if value == self.value else Found(Now.DIFFERENT, f"it is {value}")

    def apply(self) -> str:
        """Make it, or replace its value."""
        self.repository.set_variable(self.name, self.value)
        return ""

    def remove(self) -> str:
        """Remove it, unless somebody has given it another value."""
        value = self.repository.variable(self.name)
        if value not in {None, self.value}:
            return f"its value is not one that init gave it: {value}"
        self.repository.remove_variable(self.name)
        return ""


@dataclass(frozen=True)
class SecretStep:
    """A secret of the repository. With `replace`, one that is there gets this value each time."""

    repository: Repository
    name: str
    value: str = field(repr=False)
    replace: bool = False

    @property
    def thing(self) -> str:
        return f"secret {self.name}"

    @property
    def details(self) -> Sequence[str]:
        return ()

    def look(self) -> Found:
        """Whether it is there. Its value cannot be seen."""
        if not self.repository.has_secret(self.name):
            return Found(Now.ABSENT)
        if self.replace:
            return Found(Now.DIFFERENT, "it gets a new value")
        return Found(Now.RIGHT, "its value cannot be compared")

    def apply(self) -> str:
        """Make it, or replace its value."""
        self.repository.set_secret(self.name, self.value)
        return ""

    def remove(self) -> str:
        """Remove it, unless its name is one that other workflows use as well: nobody could give it back to them."""
        if not self.repository.has_secret(self.name):
            return ""
        if not self.name.startswith(OURS):
            return "other workflows may use it; delete it in the repository's settings if none does"
        self.repository.remove_secret(self.name)
        return ""
