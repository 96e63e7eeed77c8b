"""Scopes: a branch of a project, as a hash in the names of run records, and what people call it.

A public cache names no private branch, so a hash gets its name only where somebody gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..ci.lane import scope_of


def named(names: Iterable[str]) -> Mapping[str, str]:
    """Names by their scopes. They may be any that scopes have, as `github.com/acme/project/main`."""
    return {scope_of(full): name for name in names for full in _full_names(name)}


def _full_names(name: str) -> list[str]:
    """What may have been hashed for a name that a person gives."""
    project, _, branch = name.rpartition("/")
    return [name, f"{name}/", f"{name}/refs/heads/main", f"{name}/refs/heads/master", *_branches(project, branch)]


def _branches(project: str, branch: str) -> list[str]:
    return [f"{project}/refs/heads/{branch}", f"{project}/refs/tags/{branch}"]
