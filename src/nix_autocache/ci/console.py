"""Output to the log of a CI job, and to its later steps.

Only consoles and `job/report.py` print, and every workflow command goes through a console, which escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Console(Protocol):
    """The log of one job, and what its later steps get."""

    def group(self, title: str) -> AbstractContextManager[None]: ...

    def info(self, text: str) -> None: ...

    def notice(self, text: str) -> None: ...

    def warning(self, text: str) -> None: ...

    def error(self, text: str) -> None: ...

    def mask(self, secret: str) -> None:
        """Hide every line of a secret in the log from now on."""

    def set_output(self, name: str, value: str) -> None: ...

    def export(self, name: str, value: str) -> None:
        """Set a variable for the job's later steps."""

    def add_path(self, directory: Path) -> None:
        """Put a directory first on PATH for the job's later steps."""

    def summarize(self, markdown: str) -> None:
        """Add to the job's summary page, if the host has one."""

    def measure(self, figures: Mapping[str, float]) -> None:
        """Show figures beside the change that the job is for, if the host can; names are `like_this`."""


class PlainConsole:
    """Methods of a Console for hosts that do not have the feature: they do nothing."""

    def mask(self, secret: str) -> None:
        pass

    def set_output(self, name: str, value: str) -> None:
        pass

    def export(self, name: str, value: str) -> None:
        pass

    def summarize(self, markdown: str) -> None:
        pass

    def measure(self, figures: Mapping[str, float]) -> None:
        pass
