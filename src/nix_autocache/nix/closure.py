"""References between store paths."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=str)


def circular(references: Mapping[Name, Collection[Name]]) -> set[Name]:
    """Paths in a circle of references, and the paths that refer to them: they would wait for each other.

    Nix makes no circles, but its answers are not trusted. References to other paths are ignored. A path may be given
    by any name.
    """
    left = {path: {ref for ref in named if ref in references and ref != path} for path, named in references.items()}
    dependents: dict[Name, list[Name]] = {}
    for path, named in left.items():
        for reference in named:
            dependents.setdefault(reference, []).append(path)
    ready = [path for path, named in left.items() if not named]
    while ready:
        path = ready.pop()
        del left[path]
        for dependent in dependents.get(path, ()):
            left[dependent].discard(path)
            if not left[dependent]:
                ready.append(dependent)
    return set(left)
