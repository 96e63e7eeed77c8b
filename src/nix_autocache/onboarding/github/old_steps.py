"""The steps of a workflow that ours replaces, as they are found in its lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from ...system.dataclass import dataclass
from .workflow_lines import Block, Line, block_of, section

_INSTALLERS: Final = frozenset(
    {
        "cachix/install-nix-action",
        "determinatesystems/nix-installer-action",
        "nixbuild/nix-quick-install-action",
    }
)
_CACHES: Final = frozenset(
    {
        "cachix/cachix-action",
        "determinatesystems/magic-nix-cache-action",
        "nix-community/cache-nix-action",
    }
)
REPLACED: Final = _INSTALLERS | _CACHES
_USES: Final = re.compile(r"([\w.-]+/[\w.-]+)@\S+")
_CONF: Final = frozenset({"extra_nix_config", "extra-conf", "nix_conf"})  # lines of nix.conf
_NIX_PATH: Final = "nix_path"


@dataclass(frozen=True)
class OldStep:
    """A step that is replaced. `job` is the number of the line `steps:` above it, `uses` the line with its action,
    `condition` what its `if` says."""

    action: str
    uses: Line
    block: Block
    job: int
    condition: str
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


def find(found: Sequence[Line], lines: Sequence[str]) -> list[OldStep]:
    """Those that can be replaced, without those that run where the first of their job does not."""
    steps = []
    for position, line in enumerate(found):
        action = action_of(line)
        block = block_of(position, found, lines) if action.lower() in REPLACED else None
        if block and not _is_odd(block, found, lines):
            condition, inputs = _condition(block, found, lines), _inputs(block, found, lines)
            steps.append(OldStep(action, line, block, job_of(position, found), condition, inputs))
    first: dict[int, OldStep] = {}
    for each in steps:
        first.setdefault(each.job, each)
    return [each for each in steps if not _runs_elsewhere(each, first[each.job].condition)]


def _runs_elsewhere(each: OldStep, condition: str) -> bool:
    """As where each system has an installer of its own."""
    is_cache = each.action.lower() in _CACHES  # one without a condition is of no use where there is no Nix
    return condition not in {"", each.condition} and not (is_cache and not each.condition)


def _condition(block: Block, found: Sequence[Line], lines: Sequence[str]) -> str:
    """What its `if` says, with the lines of a block scalar; empty if it has none."""
    part = section("if", block, found, lines)
    return "\n".join([_value("if", block, found), *lines[part.start + 1 : part.end]]) if part else ""


def _value(key: str, block: Block, found: Sequence[Line]) -> str:
    """The value of a step's key; empty if it has none."""
    inside = (line for line in found if block.start <= line.number < block.end and line.column == block.column)
    return next((line.value for line in inside if line.key == key), "")


def action_of(line: Line) -> str:
    """The action that a line `uses`; empty if it uses none."""
    match = _USES.fullmatch(line.value) if line.key == "uses" else None
    return match[1] if match else ""


def job_of(position: int, found: Sequence[Line]) -> int:
    """The number of the line `steps:` of this step's job; -1 if there is none."""
    column = found[position].column
    above = (line for line in reversed(found[:position]) if line.key == "steps" and line.column < column)
    return next((line.number for line in above), -1)


def _is_odd(block: Block, found: Sequence[Line], lines: Sequence[str]) -> bool:
    """True for a step that begins with its inputs, has variables in flow style or an anchor, or is referred to."""
    inside = [line for line in found if block.start <= line.number < block.end]
    name = _value("id", block, found)
    return (
        inside[0].key == "with"
        or bool(_value("env", block, found))
        or any(line.has_anchor for line in inside)
        or (name != "" and any(f"steps.{name}." in line for line in lines))
    )


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
        below = tuple(text.strip() for text in lines[part.start + 1 : part.end])
        is_one_line = not any(line.number < other.number < part.end for other in inside)
        plain = tuple(filter(None, line.value.split("\n"))) if is_one_line else ()
        inputs[line.key] = below if line.value[:1] in {"|", ">"} else plain
    return inputs
