"""What a CI host offers to one job.

Only hosts and `job/report.py` print, and every workflow command goes through the host, which escapes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from .id_token import IdTokenSource

Origin = Literal["own", "fork", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """What started the job, in the host's own word, and whose code it runs."""

    name: str
    origin: Origin


@dataclass(frozen=True, kw_only=True)
class EmbeddedCache:
    """Where the embedded cache lies, and its secret key: None where that is no place for a secret.

    `others` are caches like it that this job only reads.
    """

    cache: Path
    key: Path | None
    others: tuple[Path, ...] = ()


GITHUB_SERVER: Final = "github.com"


class Host(Protocol):
    """A CI host, as seen by one job."""

    name: str
    ephemeral: bool  # whether the machine goes away with the job
    inputs: Mapping[str, str]
    has_own_inputs: bool  # whether all of `inputs` are meant for us, so that an unknown name is a mistake

    def job_id(self) -> str:
        """The same text in every step of this job, and in no other job on this machine."""

    def event(self) -> Event: ...

    def id_token(self, audience: str) -> IdTokenSource | None:
        """Where this job's id token is to be had; None where this host has none to ask for, or this job may not."""

    def token_server(self) -> str:
        """The server, as `host` or `host:port`, that a `github-token` without a host is from and is sent to."""

    def exposures(self, as_text: Sequence[str], *, by_token: bool, memory_is_open: bool) -> Iterator[str]:
        """How the job's later steps could come by its secrets through this host, whatever the machine forbids.

        `as_text` names those that stand in an input or a variable; `by_token` says that some are had for an identity
        token of the host, `memory_is_open` that a process may read the memory of the others of its user. A sentence
        each.
        """

    def embedded_cache(self) -> EmbeddedCache | None:
        """The embedded cache, where the host keeps it from job to job; None leaves it to the user's own places."""

    def time_left(self) -> float | None:
        """Seconds until the host ends what runs now; None where it does not say."""

    def dry_run_by_default(self) -> bool:
        """Whether a job without credentials is meant to be tried out only."""

    def group(self, title: str) -> AbstractContextManager[None]: ...

    def info(self, text: str) -> None: ...

    def notice(self, text: str) -> None: ...

    def warning(self, text: str) -> None: ...

    def error(self, text: str) -> None: ...

    def mask(self, secret: str) -> None:
        """Keep every line of a secret out of the log from now on."""

    def set_output(self, name: str, value: str) -> None: ...

    def export(self, name: str, value: str) -> None:
        """Set a variable for the job's later steps."""

    def add_path(self, directory: Path) -> None:
        """Put a directory first on PATH for the job's later steps."""

    def summarize(self, markdown: str) -> None:
        """Add to the job's summary page, where the host has one."""

    def measure(self, figures: Mapping[str, float]) -> None:
        """Show figures beside the change that the job is for, where the host can; names are `like_this`."""
