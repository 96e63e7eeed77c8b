"""Steps of existing workflows that install Nix or cache its store, replaced by ours.

The first of a job becomes our step, and keeps its name, its condition and its lines for nix.conf; the others go. What
cannot be replaced line by line is named, for the person to do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .action_step import ACTION, ActionStep, indented
from .id_token_permission import with_id_token
from .workflow_lines import Block, Line, block_of, section, structure

REPLACED: Final = frozenset(
    {
        "cachix/install-nix-action",
        "cachix/cachix-action",
        "determinatesystems/magic-nix-cache-action",
        "determinatesystems/nix-installer-action",
        "nixbuild/nix-quick-install-action",
        "nix-community/cache-nix-action",
    }
)
_USES: Final = re.compile(r"([\w.-]+/[\w.-]+)@\S+")
_CONF: Final = frozenset({"extra_nix_config", "extra-conf", "nix_conf"})  # lines of nix.conf
_NIX_PATH: Final = "nix_path"


@dataclass(frozen=True)
class Edit:
    """A workflow after the edit. `replaced` says what was replaced, `by_hand` what was not; a line each."""

    text: str
    replaced: tuple[str, ...]
    by_hand: tuple[str, ...]


@dataclass(frozen=True)
class _Step:
    """A step that goes. `job` is the number of the line `steps:` above it, `uses` that of its action."""

    action: str
    uses: Line
    block: Block
    job: int
    inputs: Mapping[str, tuple[str, ...]]  # the lines of each value

    @property
    def conf(self) -> tuple[str, ...]:
        """Its lines for nix.conf."""
        lines = [line for name in sorted(_CONF & self.inputs.keys()) for line in self.inputs[name]]
        lines += [f"nix-path = {value}" for value in self.inputs.get(_NIX_PATH, ())]
        return tuple(lines)

    @property
    def dropped(self) -> str:
        """Its inputs that ours does not have, in words."""
        names = [name for name, lines in self.inputs.items() if not lines or name not in {*_CONF, _NIX_PATH}]
        shown = [f"`{name}: {' '.join(self.inputs[name])}`" if name == "name" else f"`{name}`" for name in names]
        return f"; without its {', '.join(shown)}" if shown else ""


def replace(path: str, text: str, step: ActionStep) -> Edit:
    """The workflow at `path` with our step in place of those of REPLACED; the same text if it has none."""
    lines = text.splitlines()
    found = structure(lines)
    steps = _steps(found, lines)
    ours = {_job(position, found) for position, line in enumerate(found) if action_of(line) == ACTION}
    edited, by_hand = list(lines), [_unread(path, line) for line in _not_understood(found, steps)]
    for each in reversed(steps):  # the last first, so that numbers of lines stay true
        is_first = each.job not in ours and each == next(other for other in steps if other.job == each.job)
        conf = tuple(line for other in steps if other.job == each.job for line in other.conf)
        edited[each.block.start : each.block.end] = _our_lines(each, step, conf, found, lines) if is_first else []
    if steps and step.setup.role:
        edited, missing = with_id_token(edited)
        by_hand += [f"`{path}`: {each}" for each in missing]
    newline = "\r\n" if "\r\n" in text else "\n"
    whole = newline.join(edited) + (newline if text.endswith("\n") else "")
    replaced = tuple(f"`{path}`: `{each.action}`{each.dropped}" for each in steps)
    return Edit(whole if steps else text, replaced, tuple(by_hand))


def _steps(found: Sequence[Line], lines: Sequence[str]) -> list[_Step]:
    steps = []
    for position, line in enumerate(found):
        action = action_of(line)
        block = block_of(position, found, lines) if action.lower() in REPLACED else None
        if block and not _is_odd(block, found, lines):
            steps.append(_Step(action, line, block, _job(position, found), _inputs(block, found, lines)))
    return steps


def action_of(line: Line) -> str:
    """The action that a line `uses`; empty if it uses none."""
    match = _USES.fullmatch(line.value) if line.key == "uses" else None
    return match[1] if match else ""


def _job(position: int, found: Sequence[Line]) -> int:
    """The number of the line `steps:` of this step's job; -1 if there is none."""
    column = found[position].column
    above = (line for line in reversed(found[:position]) if line.key == "steps" and line.column < column)
    return next((line.number for line in above), -1)


def _is_odd(block: Block, found: Sequence[Line], lines: Sequence[str]) -> bool:
    """True for a step that begins with its inputs, or has variables in flow style."""
    env = section("env", block, found, lines)
    heads = {line.number: line for line in found}
    return heads[block.start].key == "with" or (env is not None and bool(heads[env.start].value))


def _inputs(block: Block, found: Sequence[Line], lines: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The lines of each input's value."""
    given = section("with", block, found, lines)
    if given is None:
        return {}
    inside = [line for line in found if given.start < line.number < given.end]
    if not inside:  # in flow style
        head = next(line for line in found if line.number == given.start)
        return dict.fromkeys(re.findall(r"([\w-]+) *:", head.value), ())
    column = inside[0].column
    inputs = {}
    for line in (line for line in inside if line.column == column and line.key):
        part = section(line.key, Block(given.start, given.end, column), found, lines)
        assert part, "it has this key"
        below = [text.strip() for text in lines[part.start + 1 : part.end]]
        inputs[line.key] = tuple(below) if line.value[:1] in {"|", ">"} else tuple(filter(None, [line.value]))
    return inputs


def _our_lines(
    each: _Step, step: ActionStep, conf: Sequence[str], found: Sequence[Line], lines: Sequence[str]
) -> list[str]:
    """The lines of the first step of a job, as ours."""
    block = each.block
    given = section("with", block, found, lines)
    env = section("env", block, found, lines)
    made = []
    for number in range(block.start, block.end):
        if number == each.uses.number:
            made.append(f"{each.uses.text[: each.uses.column]}{step.uses}")
            made += indented(block.column, "with", step.inputs(conf))
            made += [] if env else indented(block.column, "env", step.environment)
        elif not (given and given.start <= number < given.end):
            made.append(lines[number])
        if env and number == env.start:
            blanks = next((line.indent for line in found if line.number > number), 0)
            made += [f"{' ' * blanks}{line}" for line in step.environment]
    return made


def _not_understood(found: Sequence[Line], steps: Sequence[_Step]) -> list[Line]:
    """Lines of structure that name one of the actions, and are in none of the steps that were found."""
    known = {each.uses.number for each in steps}
    names = [f"{name}@" for name in REPLACED]
    unknown = [line for line in found if line.number not in known and "uses" in line.text]
    return [line for line in unknown if any(name in line.text.lower() for name in names)]


def _unread(path: str, line: Line) -> str:
    return f"`{path}`, line {line.number + 1}: replace `{line.text.strip()}` by `{ACTION}`"
