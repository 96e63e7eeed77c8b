"""GitLab CI, and gitlab-ci-local, which does the same in a shell.

Each part of a job is a separate shell: `setup` writes its exports to a file that the template's before_script reads.
The template passes paths in lower-case variables, since upper-case ones belong to the user.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from .gitlab_console import GitLabConsole
from .host import GITHUB_SERVER, EmbeddedCache, Event
from .id_token import IdTokenSource
from .lane import Lanes
from .repository_cache import RepositoryCache

# Sources of pipelines that run the project's own code, whoever started them.
_OWN: Final = frozenset(
    {"push", "web", "webide", "api", "schedule", "trigger", "pipeline", "parent_pipeline", "chat", "local"}
)
_EXTERNAL: Final = "external_pull_request_event"
_AFTER_SCRIPT: Final = "5m"  # the runner's own default
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_TIDY_UP: Final = 15.0  # seconds for the work after a flush
_INPUT: Final = re.compile(r"=([a-z0-9-]+)=")
_VARIABLE: Final = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_VERBATIM: Final = frozenset({"exclude"})  # inputs in which a dollar has another meaning


class GitLab(GitLabConsole):
    """A Host for one job on GitLab CI or under gitlab-ci-local."""

    name = "GitLab CI"
    ephemeral = False  # its `cache:` keeps the embedded cache
    has_own_inputs = True

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        self.template_version = environ.get("nix_autocache_template", "")
        given = inputs_of(environ.get("nix_autocache_inputs", ""))
        self.inputs: Mapping[str, str] = {
            name: text if name in _VERBATIM else _expanded(text, environ) for name, text in given.items()
        }

    @property
    def protected(self) -> bool:
        """True if the job's branch or tag is protected: not everybody may change it."""
        return self._environ.get("CI_COMMIT_REF_PROTECTED") == "true"

    def job_id(self) -> str:
        names = ("CI_SERVER_URL", "CI_PROJECT_DIR", "CI_JOB_ID")
        text = "\0".join(self._environ.get(name, "") for name in names)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def event(self) -> Event:
        name = self._environ.get("CI_PIPELINE_SOURCE", "")
        return Event(name=name or "an unknown event", origin=self._origin(name))

    def _origin(self, name: str) -> Any:
        """A merge request, and its child pipelines, have the two projects in variables."""
        source = self._environ.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID")
        if source or self._environ.get("CI_MERGE_REQUEST_IID") or name == "merge_request_event":
            target = self._environ.get("CI_MERGE_REQUEST_PROJECT_ID") or self._environ.get("CI_PROJECT_ID")
            if not source or not target:
                return "unknown"
            return "own" if source == target == self._environ.get("CI_PROJECT_ID") else "fork"
        if name == _EXTERNAL:
            source = self._environ.get("CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY")
            target = self._environ.get("CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY")
            return "own" if source and source == target else "unknown"
        return "own" if name in _OWN else "unknown"

    def lanes(self, matrix: str) -> Lanes | None:
        """GitLab's names of jobs include the matrix."""
        names = ("CI_SERVER_HOST", "CI_PROJECT_PATH", "CI_JOB_NAME")
        host, project, job = (self._environ.get(name, "") for name in names)
        kind = "tags" if self._environ.get("CI_COMMIT_TAG") else "heads"
        branch = self._environ.get("CI_COMMIT_REF_NAME")
        ref = self._environ.get("CI_MERGE_REQUEST_REF_PATH") or (f"refs/{kind}/{branch}" if branch else "")
        if not (project and job and ref):
            return None
        base = self._environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "")
        return Lanes.of(f"{host}/{project}", ref, base, self._environ.get("CI_DEFAULT_BRANCH", ""), job)

    def id_token(self, audience: str) -> IdTokenSource | None:
        """None: the template's `id_tokens` sets the input `id-token` as a variable."""
        return None

    def token_server(self) -> str:
        return GITHUB_SERVER

    def exposures(self, as_text: Sequence[str], *, by_token: bool, memory_is_open: bool) -> Iterator[str]:
        yield "GitLab gives the job's code all that it gives to before_script, and to after_script again"

    def embedded_cache(self) -> EmbeddedCache | None:
        """In the project, since GitLab caches no other directory. The template has the same names.

        No key is kept there: it would get into every derivation whose source is the project.
        """
        if not (project := self._environ.get("CI_PROJECT_DIR")):
            return None
        directory = Path(project, ".nix-autocache")
        protected = directory / "protected-true"
        if self.protected:
            return EmbeddedCache(cache=protected, key=None)
        return EmbeddedCache(cache=directory / "unprotected", key=None, others=(protected,))

    def repository_cache(self) -> RepositoryCache | None:
        return None

    def time_left(self) -> float | None:
        """Of after_script, whose start the template recorded, else of the whole job."""
        if begun := self._environ.get("nix_autocache_after"):
            allowed = duration(self._environ.get("RUNNER_AFTER_SCRIPT_TIMEOUT") or _AFTER_SCRIPT)
            return max(1.0, float(begun) + allowed - _TIDY_UP - time.time())
        with suppress(KeyError, ValueError):
            started = datetime.fromisoformat(self._environ["CI_JOB_STARTED_AT"]).timestamp()
            return max(1.0, started + float(self._environ["CI_JOB_TIMEOUT"]) - _TIDY_UP - time.time())
        return None

    def dry_run_by_default(self) -> bool:
        return self._environ.get("GITLAB_CI") == "false"


def inputs_of(text: str) -> dict[str, str]:
    """The inputs as the template writes them: a line `=name=`, then the value, which may have several lines.

    Only a line feed ends a line, as for the template's own check that no line of a value begins with `=`.
    """
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.split("\n"):
        if name := _INPUT.fullmatch(line):
            lines = found.setdefault(name[1], [])
        else:
            lines.append(line)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def _expanded(text: str, environ: Mapping[str, str]) -> str:
    """With the values of CI/CD variables: GitLab does not expand $NAME in an input."""
    return _VARIABLE.sub(lambda found: environ.get(found[1] or found[2], ""), text)


def duration(text: str) -> float:
    """Seconds of a duration of the runner, such as 1h30m or 90s; the runner's default for anything else."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|s)", text)
    if "".join(map("".join, parts)) != text or not parts:
        return duration(_AFTER_SCRIPT)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
