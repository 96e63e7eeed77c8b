"""GitLab CI, and gitlab-ci-local, which does the same in a shell.

Each part of a job is a shell of its own: what `setup` exports, it writes to a file that the template's before_script
reads. The template says where by variables in lower case, since those in upper case are the user's. GitLab has no
command to mask a secret, so nothing here prints one; it masks variables by itself.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ..system.files import make_directory, open_to_append, write_atomically
from .host import GITHUB_SERVER, EmbeddedCache, Event
from .id_token import IdTokenSource

# Sources of pipelines that run what is in the project itself, whoever set them off.
_OWN: Final = frozenset(
    {"push", "web", "webide", "api", "schedule", "trigger", "pipeline", "parent_pipeline", "chat", "local"}
)
_EXTERNAL: Final = "external_pull_request_event"
_AFTER_SCRIPT: Final = "5m"  # the runner's own default
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_TIDY_UP: Final = 15.0  # seconds for what follows a flush
_INPUT: Final = re.compile(r"=([a-z0-9-]+)=")
_VARIABLE: Final = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_VERBATIM: Final = frozenset({"exclude"})  # a dollar has a meaning of its own in it
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_COLOURS: Final = {"notice": 36, "warning": 33, "error": 31}


class GitLab:
    """A Platform for one job on GitLab CI or under gitlab-ci-local."""

    name = "GitLab CI"
    ephemeral = False  # its `cache:` keeps the embedded cache
    has_own_inputs = True

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        given = inputs_of(environ.get("nix_autocache_inputs", ""))
        self.inputs: Mapping[str, str] = {
            name: text if name in _VERBATIM else _expanded(text, environ) for name, text in given.items()
        }

    @property
    def protected(self) -> bool:
        """Whether the job's branch or tag is one that not everybody may change."""
        return self._environ.get("CI_COMMIT_REF_PROTECTED") == "true"

    def job_id(self) -> str:
        names = ("CI_SERVER_URL", "CI_PROJECT_DIR", "CI_JOB_ID")
        text = "\0".join(self._environ.get(name, "") for name in names)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def event(self) -> Event:
        name = self._environ.get("CI_PIPELINE_SOURCE", "")
        return Event(name=name or "an unknown event", origin=self._origin(name))

    def _origin(self, name: str) -> Any:
        """A merge request tells by its projects whose code it is, also to the child pipelines that it starts."""
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

    def id_token(self, audience: str) -> IdTokenSource | None:
        """None but the template's `id_tokens`, which is the input `id-token` by its name as a variable."""
        return None

    def token_server(self) -> str:
        return GITHUB_SERVER

    def exposures(self, as_text: Sequence[str], *, by_token: bool, memory_is_open: bool) -> Iterator[str]:
        yield "GitLab gives the job's code all that it gives to before_script, and to after_script again"

    def embedded_cache(self) -> EmbeddedCache | None:
        """In the project, since GitLab keeps nothing from elsewhere. The names are the template's too.

        A key there would get into every derivation whose source is the project.
        """
        if not (project := self._environ.get("CI_PROJECT_DIR")):
            return None
        place = Path(project, ".nix-autocache")
        theirs = place / "protected-true"
        if self.protected:
            return EmbeddedCache(cache=theirs, key=None)
        return EmbeddedCache(cache=place / "unprotected", key=None, others=(theirs,))

    def time_left(self) -> float | None:
        """Of after_script, whose start the template noted, else of the whole job."""
        if begun := self._environ.get("nix_autocache_after"):
            allowed = duration(self._environ.get("RUNNER_AFTER_SCRIPT_TIMEOUT") or _AFTER_SCRIPT)
            return max(1.0, float(begun) + allowed - _TIDY_UP - time.time())
        with suppress(KeyError, ValueError):
            started = datetime.fromisoformat(self._environ["CI_JOB_STARTED_AT"]).timestamp()
            return max(1.0, started + float(self._environ["CI_JOB_TIMEOUT"]) - _TIDY_UP - time.time())
        return None

    def dry_run_by_default(self) -> bool:
        return self._environ.get("GITLAB_CI") == "false"

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
        self._tell("notice", text)

    def warning(self, text: str) -> None:
        self._tell("warning", text)

    def error(self, text: str) -> None:
        self._tell("error", text)

    def mask(self, secret: str) -> None:
        pass

    def set_output(self, name: str, value: str) -> None:
        pass

    def export(self, name: str, value: str) -> None:
        self._for_the_script(f"export {name}={shlex.quote(value)}")

    def add_path(self, directory: Path) -> None:
        self._for_the_script(f'export PATH={shlex.quote(str(directory))}:"$PATH"')

    def summarize(self, markdown: str) -> None:
        pass

    def measure(self, figures: Mapping[str, float]) -> None:
        """As OpenMetrics text, which the template declares as the job's metrics report."""
        if project := self._environ.get("CI_PROJECT_DIR"):
            report = Path(project, ".nix-autocache", "metrics.txt")
            with suppress(OSError):
                make_directory(report.parent, 0o755)
                lines = [f"nix_autocache_{name} {figure:g}\n" for name, figure in figures.items()]
                write_atomically(report, "".join(lines) + "# EOF\n", 0o644)

    def _for_the_script(self, line: str) -> None:
        if directory := self._environ.get("nix_autocache_job"):
            with open_to_append(Path(directory, "environment"), 0o600) as file:
                file.write(f"{line}\n".encode())
        else:
            self.info(f"for the commands that follow: {line}")

    def _tell(self, kind: str, text: str) -> None:
        """The log has no annotations, but colours."""
        print(f"\x1b[{_COLOURS[kind]};1mnix-autocache: {kind}: {_plain(text)}\x1b[0m", flush=True)


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
    """With the values of CI/CD variables: GitLab leaves $NAME in an input as it is."""
    return _VARIABLE.sub(lambda found: environ.get(found[1] or found[2], ""), text)


def duration(text: str) -> float:
    """Seconds of a duration as the runner takes it, such as 1h30m or 90s; the runner's default for anything else."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|s)", text)
    if "".join(map("".join, parts)) != text or not parts:
        return duration(_AFTER_SCRIPT)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _plain(text: str) -> str:
    """Text of others, without what the log would take for a section or a colour."""
    return _CONTROL.sub(" ", text)
