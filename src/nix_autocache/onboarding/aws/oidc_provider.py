"""The CI host as an identity provider of the AWS account: AWS then believes the tokens that it signs.

An account has one for each host, and the roles of many repositories use it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ...system.dataclass import dataclass
from ..steps import Found, Now
from .service import Service
from .tags import TAG, owner_of, tags

_ABSENT = frozenset({"NoSuchEntity"})


@dataclass(frozen=True)
class ProviderStep:
    """`arn` follows from account and issuer."""

    iam: Service
    arn: str
    issuer: str  # host and path
    audience: str
    owner: str
    details: Sequence[str] = ()

    @property
    def thing(self) -> str:
        return f"identity provider {self.issuer}"

    def look(self) -> Found:
        found = self._found()
        if found is None:
            return Found(Now.ABSENT)
        if self.audience not in found.get("ClientIDList", []):
            return Found(Now.DIFFERENT, f"it lacks the audience {self.audience}")
        return Found(Now.RIGHT)

    def apply(self) -> str:
        if self._found():
            self.iam.ask(
                "add_client_id_to_open_id_connect_provider",
                OpenIDConnectProviderArn=self.arn,
                ClientID=self.audience,
            )
        else:
            self.iam.ask(
                "create_open_id_connect_provider",
                Url=f"https://{self.issuer}",
                ClientIDList=[self.audience],
                Tags=tags(self.owner),
            )
        return ""

    def remove(self) -> str:
        found = self._found()
        if found is None:
            return ""
        if not owner_of(found.get("Tags", [])):
            return f"it does not have the tag {TAG}"
        if users := self._users():
            return f"the role {users[0]} needs it" if len(users) == 1 else f"{len(users)} roles need it"
        self.iam.ask("delete_open_id_connect_provider", OpenIDConnectProviderArn=self.arn)
        return ""

    def _found(self) -> Any:
        return self.iam.ask("get_open_id_connect_provider", missing=_ABSENT, OpenIDConnectProviderArn=self.arn)

    def _users(self) -> list[str]:
        """Roles that trust it."""
        users: list[str] = []
        marker: dict[str, str] = {}
        while True:
            answer = self.iam.ask("list_roles", **marker)
            users += [
                role["RoleName"]
                for role in answer["Roles"]
                if self.arn in json.dumps(role.get("AssumeRolePolicyDocument", {}))
            ]
            if not answer.get("IsTruncated"):
                return users
            marker = {"Marker": answer["Marker"]}
