"""The log of GitLab CI and gitlab-ci-local, and the file that gives variables to the later parts of a job.

GitLab has no command to mask a secret, so nothing here prints one. It masks variables by itself.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ..system.files import make_directory, open_to_append, write_atomically
from .console import PlainConsole

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_COLOURS: Final = {"notice": 36, "warning": 33, "error": 31}


class GitLabConsole(PlainConsole):
    """`environ` has the variables of the template in lower case."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """A section that GitLab folds, with the time it took."""
        name = f"nix_autocache_{time.time_ns()}"
        print(f"\x1b[0Ksection_start:{int(time.time())}:{name}[collapsed=true]\r\x1b[0K{title}", flush=True)
        try:
            yield
        finally:
            print(f"\x1b[0Ksection_end:{int(time.time())}:{name}\r\x1b[0K", flush=True)

    def info(self, text: str) -> None:
        print(_plain(text), flush=True)

    def notice(self, text: str) -> None:
        self._annotate("notice", text)

    def warning(self, text: str) -> None:
        self._annotate("warning", text)

    def error(self, text: str) -> None:
        self._annotate("error", text)

    def export(self, name: str, value: str) -> None:
        self._write_for_script(f"export {name}={shlex.quote(value)}")

    def add_path(self, directory: Path) -> None:
        self._write_for_script(f'export PATH={shlex.quote(str(directory))}:"$PATH"')

    def measure(self, figures: Mapping[str, float]) -> None:
        """Writes OpenMetrics text, which the template declares as the job's metrics report."""
        if project := self._environ.get("CI_PROJECT_DIR"):
            report = Path(project, ".nix-autocache", "metrics.txt")
            with suppress(OSError):
                make_directory(report.parent, 0o755)
                lines = [f"nix_autocache_{name} {figure:g}\n" for name, figure in figures.items()]
                write_atomically(report, "".join(lines) + "# EOF\n", 0o644)

    def _write_for_script(self, line: str) -> None:
        if directory := self._environ.get("nix_autocache_job"):
            with open_to_append(Path(directory, "environment"), 0o600) as file:
                file.write(f"{line}\n".encode())
        else:
            self.info(f"for the commands that follow: {line}")

    def _annotate(self, kind: str, text: str) -> None:
        """The log has no annotations, only colours."""
        print(f"\x1b[{_COLOURS[kind]};1mnix-autocache: {kind}: {_plain(text)}\x1b[0m", flush=True)


def _plain(text: str) -> str:
    """Text from elsewhere, without characters that make sections or colours."""
    return _CONTROL.sub(" ", text)
