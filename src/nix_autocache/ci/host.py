"""A CI host as one job sees it: facts about the job, and a `Console` to its log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

from ..system.dataclass import dataclass
from .console import Console
from .id_token import IdTokenSource
from .lane import Lanes
from .repository_cache import RepositoryCache

Origin = Literal["own", "fork", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """The event that started the job, by the host's own name, and the origin of the code that it runs."""

    name: str
    origin: Origin


@dataclass(frozen=True, kw_only=True)
class EmbeddedCache:
    """The directory of the embedded cache, and the file of its secret key, None if no secret can be kept there.

    `others` are directories of caches that this job only reads.
    """

    cache: Path
    key: Path | None
    others: tuple[Path, ...] = ()


GITHUB_SERVER: Final = "github.com"


class Host(Console, Protocol):
    """The facts; the inherited methods write to the log."""

    name: str
    ephemeral: bool  # the machine ends with the job
    inputs: Mapping[str, str]
    has_own_inputs: bool  # all of `inputs` are meant for us, so an unknown name is an error
    template_version: str  # of a template that is got apart from this program; empty where there is none

    def job_id(self) -> str:
        """The same text in every step of this job, and a different one in every other job of this machine."""

    def event(self) -> Event: ...

    def lanes(self, matrix: str) -> Lanes | None:
        """This job's lanes; None where the host does not tell one job from another. `matrix` tells apart the jobs of a
        matrix where the host's own names do not."""

    def id_token(self, audience: str) -> IdTokenSource | None:
        """The source of this job's id token; None if the host has no id tokens, or the job may not request one."""

    def token_server(self) -> str:
        """The server, as `host` or `host:port`, of a `github-token` that does not name one."""

    def exposures(self, as_text: Sequence[str], *, by_token: bool, memory_is_open: bool) -> Iterator[str]:
        """Ways in which the host itself gives the secrets to the job's later steps, one sentence each.

        `as_text` names secrets in an input or a variable. `by_token` says that an id token of the host gives access to
        some, `memory_is_open` that a process may read the memory of its user's other processes.
        """

    def embedded_cache(self) -> EmbeddedCache | None:
        """The embedded cache, if the host keeps one from job to job; None leaves it to the user's own directories."""

    def repository_cache(self) -> RepositoryCache | None:
        """The cache that the host keeps for the repository of this job; None if it keeps none.

        Whether this step can reach it depends on variables, which `schemes` knows.
        """

    def time_left(self) -> float | None:
        """Seconds until the host ends this step; None if it does not say."""

    def dry_run_by_default(self) -> bool:
        """True if a job without credentials is only a trial on somebody's own machine."""
