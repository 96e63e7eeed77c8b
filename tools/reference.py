"""Writes the reference of the inputs, from `settings.INPUTS`, into every file that shows it.

Run by `make reference`; a test runs it with --check. What it writes stands between two marks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from nix_autocache.settings import INPUTS, Input

ROOT: Final = Path(__file__).parents[1]


def action_yml() -> str:
    """The inputs of action.yml."""
    blocks = []
    for row in INPUTS:
        lines = [
            f"  {row.name}:",
            f"    description: {json.dumps(plain(row.doc), ensure_ascii=False)}",
            "    required: false",
            f"    default: {json.dumps(row.github_default or row.default)}",
        ]
        blocks.append("\n".join(lines) + "\n")
    return "".join(blocks)


def markdown_table() -> str:
    """A table for people."""
    rows = [f"| `{row.name}` | {shown_default(row)} | {row.doc.replace('|', chr(92) + '|')} |" for row in INPUTS]
    return "\n".join(["| input | default | meaning |", "|---|---|---|", *rows]) + "\n"


def shown_default(row: Input) -> str:
    return row.default_doc or (f"`{row.default}`" if row.default else "")


def plain(text: str) -> str:
    """Markdown without its marks."""
    return text.replace("`", "")


TARGETS: Final[dict[str, tuple[str, str, Callable[[], str]]]] = {
    "action.yml": ("  # begin inputs: written by `make reference` from settings.py\n", "  # end inputs\n", action_yml),
    "README.md": ("<!-- begin inputs: written by `make reference` -->\n", "<!-- end inputs -->\n", markdown_table),
}


def current(name: str) -> tuple[str, str]:
    """A file as it is, and as it should be. Raises ValueError where its marks are missing."""
    begin, end, render = TARGETS[name]
    text = (ROOT / name).read_text(encoding="utf-8")
    head, tail = text.index(begin) + len(begin), text.index(end)
    return text, text[:head] + render() + text[tail:]


def main(arguments: list[str]) -> int:
    """Write every file, or with --check only say which is out of date; 1 if one was."""
    stale = [name for name in TARGETS if current(name)[0] != current(name)[1]]
    for name in stale:
        print(f"{name} is out of date; run `make reference`" if "--check" in arguments else f"wrote {name}")
        if "--check" not in arguments:
            (ROOT / name).write_text(current(name)[1], encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
