"""The role that jobs of the repository assume with their id token."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, Final

from ...errors import InputError
from ...system.dataclass import dataclass
from ..steps import Found, Now
from . import policies
from .policies import Policy
from .service import Service
from .tags import TAG, owner_of, tags

POLICY: Final = "nix-cache"
_LONGEST: Final = 64  # characters of a role's name
_ABSENT: Final = frozenset({"NoSuchEntity"})


@dataclass(frozen=True)
class RoleStep:
    """`session` is the longest session, in seconds; `owner` the repository."""

    iam: Service
    name: str
    owner: str
    trust: Policy
    push: Policy
    session: int

    @property
    def thing(self) -> str:
        return f"role {self.name}"

    @property
    def details(self) -> Sequence[str]:
        conditions = self.trust["Statement"][0]["Condition"]["StringEquals"]
        claims = [f"for {claim.rpartition(':')[2]} {_shown(value)}" for claim, value in conditions.items()]
        rights = [f"may {', '.join(each['Action'])} on {each['Resource']}" for each in self.push["Statement"]]
        return [*claims, *rights]

    def look(self) -> Found:
        role = self._found()
        if role is None:
            return Found(Now.ABSENT)
        if owner_of(role.get("Tags", [])) != self.owner:
            raise InputError(
                f"the role {self.name} exists, and init did not make it for {self.owner}: remove it, or give it the "
                f"tag {TAG}={self.owner} if init may change it"
            )
        differs = self._differences(role)
        return Found(Now.DIFFERENT, f"it has another {' and '.join(differs)}") if differs else Found(Now.RIGHT)

    def apply(self) -> str:
        if role := self._found():
            differs = self._differences(role)
            if "trust policy" in differs:
                self._ask("update_assume_role_policy", PolicyDocument=json.dumps(self.trust))
            if "longest session" in differs:
                self._ask("update_role", MaxSessionDuration=self.session)
        else:
            self._ask(
                "create_role",
                AssumeRolePolicyDocument=json.dumps(self.trust),
                MaxSessionDuration=self.session,
                Description=f"Nix binary cache of {self.owner}",
                Tags=tags(self.owner),
            )
        self._ask("put_role_policy", PolicyName=POLICY, PolicyDocument=json.dumps(self.push))
        return ""

    def remove(self) -> str:
        role = self._found()
        if role is None:
            return ""
        if owner_of(role.get("Tags", [])) != self.owner:
            return f"it does not have the tag {TAG} of {self.owner}"
        if self._policy():
            self._ask("delete_role_policy", PolicyName=POLICY)
        gone = self.iam.ask("delete_role", missing={"DeleteConflict"}, RoleName=self.name)
        return "" if gone else "somebody gave it other policies; remove those first"

    def _found(self) -> Any:
        answer = self.iam.ask("get_role", missing=_ABSENT, RoleName=self.name)
        return answer["Role"] if answer else None

    def _policy(self) -> Any:
        return self.iam.ask("get_role_policy", missing=_ABSENT, RoleName=self.name, PolicyName=POLICY)

    def _differences(self, role: Any) -> list[str]:
        policy = self._policy()
        found = {
            "trust policy": policies.same(role["AssumeRolePolicyDocument"], self.trust),
            "policy": bool(policy) and policies.same(policy["PolicyDocument"], self.push),
            "longest session": role["MaxSessionDuration"] == self.session,
        }
        return [name for name, equal in found.items() if not equal]

    def _ask(self, operation: str, **parameters: Any) -> None:
        self.iam.ask(operation, RoleName=self.name, **parameters)


def name_for(repository: str) -> str:
    """The role's name. A long one is cut, and ends with part of the hash of all of it."""
    name = f"nix-cache-{as_word(repository)}"
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 9]}-{hashlib.sha256(repository.encode()).hexdigest()[:8]}"


def as_word(repository: str) -> str:
    """OWNER-NAME of OWNER/NAME."""
    return re.sub(r"[^\w.-]", "-", repository, flags=re.ASCII)


def _shown(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else " or ".join(value)
