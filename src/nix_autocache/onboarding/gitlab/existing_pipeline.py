"""A pipeline that a project has already: how our part gets into it, and which of its jobs should use the cache.

It is read line by line, since comments and order must stay. Whatever is not plainly understood is left to a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ...system.dataclass import dataclass

_NAME: Final = r"""(?P<quote>["'])?(?P<name>(?(quote)[^"'#]+|[^\s"'#\[{\-](?:[^"'#:]|:(?=\S))*))(?(quote)(?P=quote))"""
_KEY: Final = re.compile(rf"{_NAME}\s*:(?:\s+(?P<rest>.*))?")
_NOT_JOBS: Final = frozenset(
    {
        *("after_script", "before_script", "cache", "default", "image", "include", "pages"),
        *("services", "spec", "stages", "variables", "workflow"),
    }
)
_NIX: Final = re.compile(r"\bnix(?:-build|-shell|\s+(?:build|develop|eval|flake|fmt|run|shell))\b")
_UPLOADS: Final = re.compile(r"\b(?:cachix|attic)\s+(?:use|push|watch-exec|watch-store|authtoken|login)\b|\bnix copy\b")
_OURS: Final = ("after_script", "before_script", "cache", "id_tokens", "variables")  # what our hidden job sets
_STRANGE: Final = re.compile("[\r\t\ufeff\udc80-\udcff]")  # also a mark of byte order, and what is not UTF-8
_ITEM: Final = re.compile(r"(?P<indent> *)- ")


@dataclass(frozen=True)
class Job:
    """A job that runs Nix. `sets` are the parts of ours that its own keys would replace, `uploads` its lines that
    fill a cache."""

    name: str
    extends: bool
    sets: tuple[str, ...]
    uploads: tuple[str, ...]


@dataclass(frozen=True)
class ExistingPipeline:
    """The text of a pipeline."""

    text: str

    def with_include(self, path: str) -> str | None:
        """The text with a file of the project included. None if a person must do it: for a list in another style than
        a block's, for more than one document, and for what is no block mapping."""
        lines = self.text.splitlines(keepends=True)
        if re.search(rf"^[^#\n]*\blocal: *[\"']?/?{re.escape(path)}\b", self.text, re.MULTILINE):
            return self.text
        if not self._is_plain(lines):
            return None
        for number, line in enumerate(lines):
            if (key := _key(line)) and key["name"] == "include":
                return None if key["rest"] else _with_item(lines, number + 1, path)
        start = _after_header(lines)
        return "".join([*lines[:start], "include:\n", f"  - local: {path}\n", "\n", *lines[start:]])

    def has_key(self, name: str) -> bool:
        """True if it has that key, or that job."""
        return any(found == name for found, _ in self._blocks())

    def stage(self) -> str:
        """The stage for a job that builds: GitLab's default `test` if there is one, or else `build`, or the stage that
        every pipeline has."""
        rows = [_values(block) for name, block in self._blocks() if name == "stages"]
        stages = rows[-1] if rows else ["test"]
        return next((name for name in ("test", "build") if name in stages), ".pre")

    def nix_jobs(self) -> tuple[Job, ...]:
        """The jobs that run Nix or upload what it built, in order."""
        found = []
        for name, block in self._blocks():
            text = "".join(line for line in block if not line.lstrip().startswith("#"))
            uploads = tuple(line.strip().removeprefix("- ") for line in text.splitlines() if _UPLOADS.search(line))
            if name not in _NOT_JOBS and (uploads or _NIX.search(text)):
                columns = re.findall(r"^( +)\w+:", text, re.MULTILINE)
                keys = set(re.findall(rf"^{min(columns, default='')}(\w+):", text, re.MULTILINE))
                found.append(Job(name, "extends" in keys, tuple(key for key in _OURS if key in keys), uploads))
        return tuple(found)

    def _is_plain(self, lines: list[str]) -> bool:
        content = [line for line in lines if line.strip() and not line.startswith("#")]
        if content and content[0].rstrip() == "---":
            del content[0]
        odd = any(line.startswith(("---", "...", "%")) for line in content)
        return not odd and not _STRANGE.search(self.text) and bool(content and _key(content[0]))

    def _blocks(self) -> Iterator[tuple[str, list[str]]]:
        """Each key at the top, with its lines."""
        name, block = "", list[str]()
        for line in self.text.splitlines(keepends=True):
            if key := _key(line):
                if name:
                    yield name, block
                name, block = key["name"].strip(), [key["rest"] or ""]
            else:
                block.append(line)
        if name:
            yield name, block


def _key(line: str) -> re.Match[str] | None:
    """A key at the top of the document; its value is `rest`, without a comment."""
    return _KEY.fullmatch(re.sub(r"(?:^|\s+)#.*", "", line.rstrip()))


def _with_item(lines: list[str], start: int, path: str) -> str | None:
    """The lines with an item before the first one of a block's list, which begins at or after `start`."""
    for number in range(start, len(lines)):
        if lines[number].strip() and not lines[number].lstrip().startswith("#"):
            item = _ITEM.match(lines[number])
            if item is None:
                return None
            return "".join([*lines[:number], f"{item['indent']}- local: {path}\n", *lines[number:]])
    return None


def _after_header(lines: list[str]) -> int:
    """Where the first key may be put: after a comment that an empty line ends, but not between another and its key."""
    start = 0
    for number, line in enumerate(lines):
        if line.strip() and line.rstrip() != "---" and not line.startswith("#"):
            break
        if not line.startswith("#"):
            start = number + 1
    return start


def _values(block: list[str]) -> list[str]:
    """The items of a list of plain words, in either style."""
    text = "\n".join(re.sub(r"(?:^|\s)#.*", "", line.rstrip()) for line in block)
    return re.findall(r"[^\s\[\],\"']+", re.sub(r"^\s*- ", " ", text, flags=re.MULTILINE))
