"""The workflow that an earlier `init` wrote, with our step as it should be today; people have added to all the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..cache_setup import ACCESS_KEY, GOOGLE_KEY
from .action_step import ACTION, ActionStep, indented
from .id_token_permission import with_id_token
from .old_steps import action_of
from .workflow_lines import Block, Line, block_of, section, split, structure

_INPUTS: Final = frozenset({"cache", "public-keys", "signing-key", "aws-role", "oidc-audience", "check"})
_WITH_ROLE: Final = "push"  # ours where there is a role, and where its value is the one that we write then
_OUR_PUSH: Final = "&& 'auto' || 'never'"
_VARIABLES: Final = frozenset({*ACCESS_KEY, GOOGLE_KEY})


def updated(text: str, step: ActionStep, check: str) -> str | None:
    """The text with our inputs, variables and commit in our first step. Other inputs and variables stay.

    None if it has no such step that can be edited line by line.
    """
    lines, newline = split(text)
    found = structure(lines)
    position = next((n for n, line in enumerate(found) if action_of(line) == ACTION), None)
    block = None if position is None else block_of(position, found, lines)
    if position is None or block is None:
        return None
    parts = [(key, section(key, block, found, lines)) for key in ("with", "env")]
    if any(part and _is_odd(part, block, found) for _, part in parts):
        return None
    our_push = step.setup.role or _OUR_PUSH in text
    inputs = _INPUTS | {_WITH_ROLE} if our_push else _INPUTS
    ours = {"with": (step.inputs(check=check), inputs), "env": (step.environment, _VARIABLES)}
    made = [f"{found[position].text[: block.column]}{step.uses}"]
    for key, part in parts:
        new, names = ours[key]
        made += indented(block.column, key, [*new, *_others(part, names, found, lines)])
    gone = {number for _, part in parts if part for number in range(part.start, part.end)}
    rest = [number for number in range(block.start, block.end) if number not in gone]
    edited = [line for number in rest for line in (made if number == found[position].number else [lines[number]])]
    whole = [*lines[: block.start], *edited, *lines[block.end :]]
    return newline.join(with_id_token(whole)[0] if step.setup.role else whole)


def _is_odd(part: Block, block: Block, found: Sequence[Line]) -> bool:
    """True for a mapping in flow style, and for one that the step begins with."""
    return part.start == block.start or bool(next(line.value for line in found if line.number == part.start))


def _others(part: Block | None, names: frozenset[str], found: Sequence[Line], lines: Sequence[str]) -> list[str]:
    """The lines of the keys that are not ours, with comments above, as if they began at the first column."""
    inside = [line for line in found if part and part.start < line.number < part.end]
    if part is None or not inside:
        return []
    column = inside[0].column
    kept = []
    for line in inside:
        if line.column == column and line.key and line.key not in names:
            own = section(line.key, Block(part.start, part.end, column), found, lines)
            assert own, "it has this key"
            start = own.start
            while lines[start - 1].lstrip().startswith("#"):
                start -= 1
            kept += [text[column:] for text in lines[start : own.end]]
    return kept
