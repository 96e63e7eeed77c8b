"""GitHub Actions, and act, which behaves the same and can be told by its own variable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from ..system.net import DEFAULT_PORTS
from .github_console import GitHubConsole
from .host import GITHUB_SERVER, EmbeddedCache, Event, Origin
from .id_token import IdTokenSource
from .lane import Lanes
from .repository_cache import RepositoryCache, of_job

# Events that run the repository's own code, whoever started them.
_OWN: Final = frozenset(
    {"push", "schedule", "workflow_dispatch", "release", "create", "merge_group", "deployment", "repository_dispatch"}
)


class GitHub(GitHubConsole):
    """A Host for one job on GitHub Actions or under act."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        self.is_act = environ.get("ACT") == "true"
        self.name = "act" if self.is_act else "GitHub Actions"
        self.ephemeral = environ.get("RUNNER_ENVIRONMENT") == "github-hosted"
        self.inputs: Mapping[str, str] = inputs_of(environ)
        self.has_own_inputs = False
        self.template_version = ""

    def job_id(self) -> str:
        """RUNNER_TEMP distinguishes the runners of one machine, and so the matrix entries that they run."""
        names = ("RUNNER_TEMP", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB")
        text = "\0".join(self._environ.get(name, "") for name in names)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def event(self) -> Event:
        name = self._environ.get("GITHUB_EVENT_NAME", "")
        if name in _OWN:
            return Event(name=name, origin="own")
        if name == "pull_request":
            return Event(name=name, origin=_origin_of_pull_request(self._payload()))
        if name == "workflow_run":
            return Event(name=name, origin=_origin_of_run(self._payload()))
        return Event(name=name or "an unknown event", origin="unknown")

    def lanes(self, matrix: str) -> Lanes | None:
        repository, ref = (self._environ.get(f"GITHUB_{name}", "") for name in ("REPOSITORY", "REF"))
        if not (repository and ref):
            return None
        base, *job = (self._environ.get(f"GITHUB_{name}", "") for name in ("BASE_REF", "WORKFLOW", "JOB"))
        default = _default_branch(self._payload())
        if not default and self._environ.get("GITHUB_EVENT_NAME") == "schedule":  # it runs on no other branch
            default = ref.removeprefix("refs/heads/")
        return Lanes.of(f"{self.token_server()}/{repository}", ref, base, default, *job, matrix)

    def id_token(self, audience: str) -> IdTokenSource | None:
        """The variables exist with `permissions: id-token: write`, but never for a pull request from a fork."""
        url, bearer = (self._environ.get(f"ACTIONS_ID_TOKEN_REQUEST_{what}", "") for what in ("URL", "TOKEN"))
        return (
            IdTokenSource(url=f"{url}&audience={quote(audience, safe='')}", bearer=bearer) if url and bearer else None
        )

    def token_server(self) -> str:
        """The server of this workflow, which is not github.com on GHES, GHE.com, Forgejo and Gitea."""
        urls = [self._environ.get(f"GITHUB_{what}_URL", "").strip() for what in ("SERVER", "API")]
        servers = [server_of(url) for url in urls if url]
        return next((server for server in servers if server != GITHUB_SERVER), GITHUB_SERVER)

    def exposures(self, as_text: Sequence[str], *, by_token: bool, memory_is_open: bool) -> Iterator[str]:
        if as_text:
            yield (
                f"{' and '.join(as_text)}: GitHub gives it to the post step again, and the job's code can change what "
                "that step runs; hand it over in a file"
            )
        if memory_is_open:
            yield "the runner had the secrets, and this kernel lets the job's code read its memory (no Yama)"
        if by_token:
            yield "with `id-token: write`, the job's later steps can assume `aws-role` as well"
        if not self.ephemeral:
            yield "this runner outlives its jobs, and an earlier one may have changed what runs as its user"

    def embedded_cache(self) -> EmbeddedCache | None:
        return None

    def repository_cache(self) -> RepositoryCache | None:
        return of_job(self._environ, trusted=self.event().origin == "own")

    def time_left(self) -> float | None:
        return None

    def dry_run_by_default(self) -> bool:
        return self.is_act

    def _payload(self) -> Any:
        """The event's payload; None if it cannot be read."""
        with suppress(OSError, ValueError, KeyError):
            return json.loads(Path(self._environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))


def inputs_of(environ: Mapping[str, str]) -> dict[str, str]:
    """The inputs from the runner's variables: `INPUT_` + upper-case name, dashes kept.

    A job may have such variables of its own, so not every name is one of our inputs.
    """
    prefix = "INPUT_"
    return {name[len(prefix) :].lower(): value for name, value in environ.items() if name.startswith(prefix)}


def server_of(url: str) -> str:
    """The server of a URL, as Nix writes it in access-tokens: `host`, or `host:port` if the port is not the scheme's.

    `api.github.com` is github.com, and so with the other servers that GitHub itself runs (GHE.com).
    """
    parts = urlsplit(url if "://" in url else f"https://{url}")
    host, port = (parts.hostname or "").rstrip("."), parts.netloc.rpartition("@")[2].rpartition(":")[2]
    if host in {f"api.{GITHUB_SERVER}", f"www.{GITHUB_SERVER}"} or (
        host.startswith("api.") and host.endswith(".ghe.com")
    ):
        host = host.partition(".")[2]
    host = f"[{host}]" if ":" in host else host
    is_default = not port.isdecimal() or int(port) == DEFAULT_PORTS.get(parts.scheme, 0)
    return host if is_default else f"{host}:{int(port)}"


def _default_branch(payload: Any) -> str:
    """Empty if the payload does not say."""
    try:
        return str(payload["repository"]["default_branch"] or "")
    except (KeyError, TypeError):
        return ""


def _origin_of_pull_request(payload: Any) -> Origin:
    """The owner of the branch; unknown if the payload does not say, as for a deleted fork."""
    try:
        head, base = payload["pull_request"]["head"]["repo"], payload["pull_request"]["base"]["repo"]
        return "own" if head["full_name"] == base["full_name"] else "fork"
    except (KeyError, TypeError):
        return "unknown"


def _origin_of_run(payload: Any) -> Origin:
    """The owner of the commit of the run that this one follows, if that run's event is trusted."""
    try:
        run, own = payload["workflow_run"], payload["repository"]["full_name"]
        if run["head_repository"]["full_name"] != own:
            return "fork"
        return "own" if run["event"] in {*_OWN, "pull_request"} else "unknown"
    except (KeyError, TypeError):
        return "unknown"
