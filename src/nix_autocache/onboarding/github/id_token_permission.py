"""The permission `id-token: write`, with which a job gets the token that AWS gives a role for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .action_step import ACTION
from .workflow_lines import Line, structure

_GRANT: Final = "id-token: write"


def with_id_token(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """The workflow with that permission for the jobs that have our step; and what must be done by hand, a sentence
    for each job: where there are no permissions at all, to write some would take others away."""
    found = structure(lines)
    missing: list[str] = []
    inserted: dict[int, str] = {}
    for head in _heads(found):
        block = _permissions(found, head)
        granted = _granted(found, block) if block else ""
        if block is None or block.value not in {"", "write-all"} or granted not in {"", "write"}:
            missing.append(f"give the job of line {head.number + 1} the permission `{_GRANT}`, or it gets no role")
        elif not block.value and not granted:
            below = next((line for line in found if line.number > block.number), block)
            column = below.indent if below.indent > block.column else block.column + 2
            inserted[block.number + 1] = f"{' ' * column}{_GRANT}"
    edited = list(lines)
    for number, line in sorted(inserted.items(), reverse=True):
        edited.insert(number, line)
    return edited, missing


def _heads(found: Sequence[Line]) -> list[Line]:
    """The lines `steps:` of the jobs that have our step."""
    heads: dict[int, Line] = {}
    above: Line | None = None
    for line in found:
        above = line if line.key == "steps" else above
        if above and line.key == "uses" and line.value.startswith(f"{ACTION}@"):
            heads[above.number] = above
    return list(heads.values())


def _permissions(found: Sequence[Line], steps: Line) -> Line | None:
    """The job's own permissions, or else those of the workflow."""
    position = found.index(steps)
    job = next((n for n in range(position, -1, -1) if found[n].indent < steps.indent), -1)
    after = next((n for n in range(position, len(found)) if found[n].indent < steps.indent), len(found))
    own = [line for line in found[job + 1 : after] if line.key == "permissions" and line.column == steps.column]
    of_all = [line for line in found if line.key == "permissions" and line.column == 0]
    return next(iter([*own, *of_all]), None)


def _granted(found: Sequence[Line], block: Line) -> str:
    """What the permissions say of id tokens; empty if nothing."""
    for line in found[found.index(block) + 1 :]:
        if line.indent <= block.indent:
            return ""
        if line.key == "id-token":
            return line.value
    return ""
