"""The CI/CD variables of a project on GitLab, of which some are secrets.

A secret is masked, hidden and protected: only jobs on protected branches and tags get it. Variables for one
environment only are other variables, and left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ...errors import InputError
from .access import Access, if_there

if TYPE_CHECKING:
    from gitlab.v4.objects import Project

_EVERYWHERE: Final[dict[str, Any]] = {"filter": {"environment_scope": "*"}}
_MASKABLE: Final = re.compile(r"\S{8,}")  # what GitLab masks (app/models/concerns/ci/maskable.rb)


class Variables:
    """The variables of a project. Methods raise Error as those of `repository.Repository`."""

    def __init__(self, access: Access, project: Project) -> None:
        self._access = access
        self._project = project

    def find(self, name: str) -> Mapping[str, Any]:
        """Its attributes, of which `value` is None if it is hidden; empty if it is not there."""
        with self._access.needs("Maintainer", f"read the variable {name}"), if_there():
            found: Mapping[str, Any] = self._project.variables.get(name, **_EVERYWHERE).attributes
            return found
        return {}

    def set_plain(self, name: str, value: str) -> None:
        """One that every job gets, as it is: a dollar in it has no meaning."""
        self._set(name, {"value": value, "protected": False, "raw": True})

    def set_secret(self, name: str, value: str) -> None:
        """A JSON text is written without white space, since GitLab masks no value that has some. Raises InputError
        for a value that cannot be masked."""
        if value.startswith("{"):
            with suppress(ValueError):
                value = json.dumps(json.loads(value), separators=(",", ":")).replace(" ", "\\u0020")
        if not _MASKABLE.fullmatch(value):
            raise InputError(f"{name} cannot be masked on GitLab: it is shorter than 8 characters, or has white space")
        self._set(name, {"value": value, "protected": True, "raw": True, "masked": True})

    def remove(self, name: str) -> None:
        with self._access.needs("Maintainer", f"remove the variable {name}"), if_there():
            self._project.variables.delete(name, **_EVERYWHERE)

    def _set(self, name: str, row: Mapping[str, Any]) -> None:
        with self._access.needs("Maintainer", f"set the variable {name}"):
            with if_there():
                self._project.variables.update(name, {**row, **_EVERYWHERE})
                return
            # A server older than 17.4 knows no hidden variables; it ignores that attribute and masks the value.
            hidden = {"masked_and_hidden": True} if row.get("masked") else {}
            self._project.variables.create({"key": name, **row, **hidden})
