"""Reads nix.conf files and the files that they include. A file that is missing or unreadable counts as empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_INCLUDES: Final = frozenset({"include", "!include"})
_DEEPEST: Final = 10  # levels: files may include each other


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def included(path: Path) -> list[Path]:
    """The files that this file includes itself."""
    return [path.parent / words[1] for words in _lines(path) if len(words) == 2 and words[0] in _INCLUDES]


def settings(path: Path, *, without: Path, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Names and values, in Nix's order, with those of included files except `without`."""
    for words in _lines(path):
        if len(words) == 2 and words[0] in _INCLUDES and depth < _DEEPEST:
            target = path.parent / words[1]
            if target != without:
                yield from settings(target, without=without, depth=depth + 1)
        elif len(words) > 1 and words[1] == "=":
            yield words[0], " ".join(words[2:])


def _lines(path: Path) -> Iterator[list[str]]:
    """The words of each line, without comments."""
    return (line.partition("#")[0].split() for line in read(path).splitlines())
