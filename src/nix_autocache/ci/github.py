"""GitHub Actions, and act, which behaves the same but for the marks that it leaves in the environment.

actions-toolkit knows the workflow commands and their escaping. To know when using it: it does not flush, prints
unset annotation properties, masks a multi-line secret as one, and has no step summary; see the workarounds here.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import quote, urlsplit

from ..system.files import open_to_append
from ..system.net import DEFAULT_PORTS
from .host import GITHUB_SERVER, EmbeddedCache, Event, Origin
from .id_token import IdTokenSource

# Events whose code is that of the repository itself, whoever set them off.
_OWN: Final = frozenset(
    {"push", "schedule", "workflow_dispatch", "release", "create", "merge_group", "deployment", "repository_dispatch"}
)


class GitHub:
    """A Platform for one job on GitHub Actions or under act."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.is_act = environ.get("ACT") == "true"
        self.name = "act" if self.is_act else "GitHub Actions"
        self.ephemeral = environ.get("RUNNER_ENVIRONMENT") == "github-hosted"
        self.inputs: Mapping[str, str] = inputs_of(environ)
        self.has_own_inputs = False
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(line_buffering=True)  # or a child's output would overtake a mask

    def job_id(self) -> str:
        """RUNNER_TEMP tells apart the runners of one machine, and the entries of a matrix that they run."""
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

    def id_token(self, audience: str) -> IdTokenSource | None:
        """The variables are there with `permissions: id-token: write`, and never for a pull request from a fork."""
        url, bearer = (self._environ.get(f"ACTIONS_ID_TOKEN_REQUEST_{what}", "") for what in ("URL", "TOKEN"))
        return (
            IdTokenSource(url=f"{url}&audience={quote(audience, safe='')}", bearer=bearer) if url and bearer else None
        )

    def token_server(self) -> str:
        """That of this workflow, which is not github.com on GHES, GHE.com, Forgejo and Gitea."""
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

    def time_left(self) -> float | None:
        return None

    def dry_run_by_default(self) -> bool:
        return self.is_act

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

    def measure(self, figures: Mapping[str, float]) -> None:
        pass

    @property
    def _core(self) -> ModuleType:
        return import_module("actions_toolkit.core")

    def _payload(self) -> Any:
        """What the event is about; None where that cannot be read."""
        with suppress(OSError, ValueError, KeyError):
            return json.loads(Path(self._environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))


def inputs_of(environ: Mapping[str, str]) -> dict[str, str]:
    """The inputs as the runner gives them: `INPUT_` + upper-case name, dashes kept.

    A job may have such variables of its own, so not every name need be an input.
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


def _harmless(line: str) -> str:
    """A line that the runner takes for no command, whoever the text came from. It looks for `::` where a line begins,
    and for `##[`, which is of old, everywhere."""
    line = line.replace("##[", "## [")
    return f"-{line}" if line.strip().startswith("::") else line


def _origin_of_pull_request(payload: Any) -> Origin:
    """Whose branch it is; unknown where the payload does not say, as for a fork that was deleted."""
    try:
        head, base = payload["pull_request"]["head"]["repo"], payload["pull_request"]["base"]["repo"]
        return "own" if head["full_name"] == base["full_name"] else "fork"
    except (KeyError, TypeError):
        return "unknown"


def _origin_of_run(payload: Any) -> Origin:
    """Whose commit the run was for that this one follows, and whether that run's own event is one to be trusted."""
    try:
        run, own = payload["workflow_run"], payload["repository"]["full_name"]
        if run["head_repository"]["full_name"] != own:
            return "fork"
        return "own" if run["event"] in {*_OWN, "pull_request"} else "unknown"
    except (KeyError, TypeError):
        return "unknown"
