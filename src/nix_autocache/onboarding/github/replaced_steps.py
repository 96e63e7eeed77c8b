"""Steps of existing workflows that install Nix or cache its store, replaced by ours.

The first of a job becomes our step, and keeps its name, its condition and its lines for nix.conf; the others go, unless
they run where the first does not. What cannot be replaced line by line is named, for the person to do.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...system.dataclass import dataclass
from .action_step import ACTION, ActionStep, indented
from .id_token_permission import with_id_token
from .old_steps import REPLACED, OldStep, action_of, find, job_of
from .workflow_lines import Block, Line, section, split, structure


@dataclass(frozen=True)
class Edit:
    """A workflow after the edit. `replaced` says what was replaced, `by_hand` what was not; a line each."""

    text: str
    replaced: tuple[str, ...]
    by_hand: tuple[str, ...]


def replace(path: str, text: str, step: ActionStep) -> Edit:
    """The workflow at `path` with our step in place of those of REPLACED; the same text if it has none."""
    lines, newline = split(text)
    found = structure(lines)
    ours = {job_of(position, found) for position, line in enumerate(found) if action_of(line) == ACTION}
    steps = find(found, lines)
    edited, by_hand = list(lines), [_unread(path, line) for line in _not_understood(found, steps)]
    for each in reversed(steps):  # the last first, so that numbers of lines stay true
        is_first = each.job not in ours and each == next(other for other in steps if other.job == each.job)
        conf = tuple(line for other in steps if other.job == each.job for line in other.conf)
        edited[each.block.start : each.block.end] = _our_lines(each, step, conf, found, lines) if is_first else []
    if steps and step.setup.role:
        edited, missing = with_id_token(edited)
        by_hand += [f"`{path}`: {each}" for each in missing]
    replaced = tuple(f"`{path}`: `{each.action}`{each.dropped}" for each in steps)
    return Edit(newline.join(edited) if steps else text, replaced, tuple(by_hand))


def _our_lines(
    each: OldStep, step: ActionStep, conf: Sequence[str], found: Sequence[Line], lines: Sequence[str]
) -> list[str]:
    """The lines of the first step of a job, as ours."""
    block = each.block
    given = section("with", block, found, lines)
    env = section("env", block, found, lines)
    replaced = _replaced_variables(env, step, found, lines)
    made = []
    for number in range(block.start, block.end):
        if number == each.uses.number:
            made.append(f"{each.uses.text[: each.uses.column]}{step.uses}")
            made += indented(block.column, "with", step.inputs(conf))
            made += [] if env else indented(block.column, "env", step.environment)
        elif number not in replaced and not (given and given.start <= number < given.end):
            made.append(lines[number])
        if env and number == env.start:
            blanks = next((line.indent for line in found if line.number > number), 0)
            made += [f"{' ' * blanks}{line}" for line in step.environment]
    return made


def _replaced_variables(
    env: Block | None, step: ActionStep, found: Sequence[Line], lines: Sequence[str]
) -> frozenset[int]:
    """The numbers of the lines of variables that our step sets: a key may be there once."""
    inside = next((line for line in found if env and line.number > env.start), None)
    if env is None or inside is None:
        return frozenset()
    block = Block(env.start + 1, env.end, inside.column)
    names = [line.partition(":")[0] for line in step.environment]
    parts = filter(None, (section(name, block, found, lines) for name in names))
    return frozenset(number for part in parts for number in range(part.start, part.end))


def _not_understood(found: Sequence[Line], steps: Sequence[OldStep]) -> list[Line]:
    """Lines of structure that name one of the actions, and are in none of the steps that were found."""
    known = {each.uses.number for each in steps}
    names = [f"{name}{mark}" for name in REPLACED for mark in "@/"]
    unknown = [line for line in found if line.number not in known and "uses" in line.text]
    return [line for line in unknown if any(name in line.text.lower() for name in names)]


def _unread(path: str, line: Line) -> str:
    return f"`{path}`, line {line.number + 1}: replace `{line.text.strip()}` by `{ACTION}`"
