"""The log, annotations, outputs and summary of GitHub Actions and act.

actions-toolkit knows the workflow commands and their escaping. It does not flush, prints unset annotation properties,
masks a multi-line secret as one, and has no step summary: see the workarounds here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ..system.files import open_to_append
from .console import PlainConsole


class GitHubConsole(PlainConsole):
    """Makes standard output line-buffered."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(line_buffering=True)  # or a child's output would overtake a mask

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        self._core.start_group(title)
        try:
            yield
        finally:
            self._core.end_group()

    def info(self, text: str) -> None:
        print("\n".join(map(_harmless, text.splitlines())), flush=True)

    def notice(self, text: str) -> None:
        self._core.issue_command("notice", {"title": "nix-autocache"}, text)

    def warning(self, text: str) -> None:
        self._core.issue_command("warning", {"title": "nix-autocache"}, text)

    def error(self, text: str) -> None:
        self._core.issue_command("error", {"title": "nix-autocache"}, text)

    def mask(self, secret: str) -> None:
        for line in filter(None, map(str.strip, secret.splitlines())):
            self._core.set_secret(line)

    def set_output(self, name: str, value: str) -> None:
        self._core.set_output(name, value)

    def export(self, name: str, value: str) -> None:
        self._core.export_variable(name, value)

    def add_path(self, directory: Path) -> None:
        self._core.add_path(str(directory))

    def summarize(self, markdown: str) -> None:
        if path := self._environ.get("GITHUB_STEP_SUMMARY"):
            with suppress(OSError), open_to_append(Path(path), 0o644) as file:
                file.write(markdown.encode())

    @property
    def _core(self) -> ModuleType:
        return import_module("actions_toolkit.core")


def _harmless(line: str) -> str:
    """The line, changed so that the runner does not take it for a command.

    A command begins with `::` at the start of a line, or, in an older form, with `##[` anywhere.
    """
    line = line.replace("##[", "## [")
    return f"-{line}" if line.strip().startswith("::") else line
