"""No CI host: a terminal, or a host that we do not know. Everything goes to standard error as plain text."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .console import PlainConsole
from .host import GITHUB_SERVER, EmbeddedCache, Event
from .id_token import IdTokenSource
from .lane import Lanes
from .repository_cache import RepositoryCache


class Local(PlainConsole):
    """A Host without CI: the person at the terminal is trusted, an unknown CI host is not."""

    name = "local"
    ephemeral = False
    has_own_inputs = True
    template_version = ""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.inputs: Mapping[str, str] = {}
        self._is_ci = bool(environ.get("CI"))

    def job_id(self) -> str:
        return "local"

    def event(self) -> Event:
        if self._is_ci:
            return Event(name="a job on a CI host that is not known", origin="unknown")
        return Event(name="manual", origin="own")

    def lanes(self, matrix: str) -> Lanes | None:
        return None

    def id_token(self, audience: str) -> IdTokenSource | None:
        return None

    def token_server(self) -> str:
        return GITHUB_SERVER

    def exposures(self, as_text: Sequence[str], *, by_token: bool, memory_is_open: bool) -> Iterator[str]:
        if as_text:
            yield f"{' and '.join(as_text)}: what began this job has it in its arguments or its environment"
        if by_token:
            yield "what began this job has the id token, and can assume `aws-role` with it"
        if self._is_ci:
            yield "this CI host is not known: it may hand to the job's code what it handed to us"

    def embedded_cache(self) -> EmbeddedCache | None:
        return None

    def repository_cache(self) -> RepositoryCache | None:
        return None

    def time_left(self) -> float | None:
        return None

    def dry_run_by_default(self) -> bool:
        return False

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        self.info(title)
        yield

    def info(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def notice(self, text: str) -> None:
        self.info(f"note: {text}")

    def warning(self, text: str) -> None:
        self.info(f"warning: {text}")

    def error(self, text: str) -> None:
        self.info(f"error: {text}")

    def add_path(self, directory: Path) -> None:
        self.info(f"put this first on PATH: {directory}")
