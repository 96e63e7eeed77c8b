"""A workflow run by act inside a machine, as a user runs it: no Docker, an environment of what is given.

Actions are named as on GitHub and mapped to a directory of the machine; the action itself is this checkout.
act skips a job whose label is not mapped, without a word: look at `jobs`, not only at the status.
"""

import json
import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.harness import tools
from tests.harness.commands import CommandFailed, Process
from tests.harness.machine import PATH, Bind, Machine
from tests.harness.waiting import wait_for

ACT = "/opt/act/act"
NODE = "/opt/node"
FIXED = ("--json", "--rm", "--artifact-server-addr", "127.0.0.1")
LABELS = ("ubuntu-latest", "ubuntu-24.04")
THE_ACTION = {"nix-autocache/nix-autocache@v1": tools.TARGET}
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
AUTHOR = {f"GIT_{who}_{what}": "harness@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@dataclass(frozen=True)
class Step:
    """A step as act reports it; `stage` is Pre, Main or Post."""

    stage: str
    name: str
    result: str


@dataclass(frozen=True)
class Workflow:
    """One run; `project` is a directory of the machine with a git repository, see `git_project`."""

    project: str
    event: str = "push"
    arguments: Sequence[str] = ()
    payload: Mapping[str, object] | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    """Reaches the workflow's steps as if the workflow had set it."""
    actions: Mapping[str, str] = field(default_factory=lambda: THE_ACTION)
    user: str = "root"
    cache: str = ""
    """The directory of act's own cache server; without one there is no Actions cache."""


@dataclass(frozen=True)
class Outcome:
    """act's report, in its order."""

    returncode: int
    steps: tuple[Step, ...]
    jobs: Mapping[str, str]
    """Result by job."""
    log: str
    """The output of the steps, without act's own words."""
    logs: Mapping[str, str]
    """`log` by the name of the step, its post step's included."""
    text: str
    """All that act printed, its own words too; for messages."""
    seconds: float

    def result(self, name: str, stage: str = "Main") -> str:
        """The result of the step that the workflow calls `name`; empty when it was not run."""
        return next((step.result for step in self.steps if (step.stage, step.name) == (stage, name)), "")


def binds() -> tuple[Bind, ...]:
    """The binds of a machine that runs act: the program, GitHub's version of Node, and this project."""
    return (Bind(tools.program("act"), ACT), Bind(tools.node(), NODE), *tools.project())


def git_project(
    machine: Machine,
    path: str,
    files: Mapping[str, str],
    origin: str = "https://github.com/acme/project.git",
    user: str = "root",
) -> None:
    """A repository with one commit on main and a remote, as a fresh clone has it."""
    for name, text in files.items():
        machine.write(f"{path}/{name}", text)
    git = """
    git init -q -b main; git remote add origin "$1"; git add -A; git commit -qm project
    git update-ref refs/remotes/origin/main HEAD
    git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/main
    """
    machine.run(["chown", "-R", f"{user}:", path])
    machine.run(["sh", "-euc", git, "git", origin], cwd=path, user=user, env=AUTHOR)


def act(machine: Machine, workflow: Workflow, cancel_at: str | None = None, timeout: float = 120.0) -> Outcome:
    """Runs it; with `cancel_at`, sends SIGINT, as a user's Ctrl-C, once that text is in the log."""
    command = [ACT, workflow.event, *FIXED, *_options(machine, workflow), *workflow.arguments]
    env = {"PATH": f"{NODE}:{PATH}"}
    with machine.start(command, user=workflow.user, env=env, cwd=workflow.project) as process:
        if cancel_at is not None:
            _wait_for_log(process, cancel_at, timeout)
            process.signal(signal.SIGINT)
        seconds = wait_for(lambda: not process.running(), f"the end of act, which said\n{process.text()}", timeout)
    return _outcome(process, seconds)


def cache_server(directory: str) -> list[str]:
    """Options that make act serve an Actions cache from this directory."""
    return ["--cache-server-addr", "127.0.0.1", "--cache-server-path", directory]


def _options(machine: Machine, workflow: Workflow) -> list[str]:
    options = [word for label in LABELS for word in ("-P", f"{label}=-self-hosted")]
    options += cache_server(workflow.cache) if workflow.cache else ["--no-cache-server"]
    for action, directory in workflow.actions.items():
        options += ["--local-repository", f"{action}={directory}"]
    for name, value in workflow.env.items():
        options += ["--env", f"{name}={value}"]
    if workflow.payload is not None:
        machine.write("/tmp/act-event.json", json.dumps(workflow.payload))
        options += ["--eventpath", "/tmp/act-event.json"]
    if workflow.secrets:
        lines = "".join(f"{name}={value}\n" for name, value in workflow.secrets.items())
        machine.write("/tmp/act-secrets", lines, mode=0o600, owner=workflow.user)
        options += ["--secret-file", "/tmp/act-secrets"]
    return options


def _wait_for_log(process: Process, text: str, timeout: float) -> None:
    wait_for(lambda: text in _log(_events(process.text())) or not process.running(), f"{text!r} in the log", timeout)
    if text not in _log(_events(process.text())):
        raise CommandFailed(f"act ended without saying {text!r}", process.command, process.text())


def _events(text: str) -> list[dict[str, Any]]:
    """A line that is not an event, such as a last error, becomes one."""
    lines = text.splitlines()
    return [json.loads(line) if line.startswith("{") and line.endswith("}") else {"msg": line} for line in lines]


def _log(events: Iterable[dict[str, Any]]) -> str:
    return _plain("".join(event["msg"] for event in events if event.get("raw_output")))


def _plain(text: str) -> str:
    # The steps write to a terminal: lines end as there, and programs colour them.
    return COLOUR.sub("", text.replace("\r\n", "\n"))


def _outcome(process: Process, seconds: float) -> Outcome:
    text = process.text()
    events = _events(text)
    steps = [
        Step(event["stage"], event["step"], event["stepResult"])
        for event in events
        if "stepResult" in event and "stage" in event
    ]
    jobs = {event["jobID"]: event["jobResult"] for event in events if "jobResult" in event}
    names = {event["step"]: None for event in events if "step" in event}
    logs = {name: _log(event for event in events if event.get("step") == name) for name in names}
    said = _plain("".join(event["msg"].removesuffix("\n") + "\n" for event in events))
    return Outcome(process.wait(), tuple(steps), jobs, _log(events), logs, said, seconds)
