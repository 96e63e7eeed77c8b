"""A pipeline run by gitlab-ci-local inside a machine, in its shell, as a runner's shell executor runs it.

It runs in the project's own directory and emulates no `cache:` there; `Runner` does what GitLab's documentation says
of it. Nor does it mask, give tokens, or refuse unknown inputs.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.harness import act, npm, tools
from tests.harness.machine import PATH, Bind, Machine
from tests.harness.waiting import wait_for

TEMPLATE = tools.PROJECT / "templates/nix-autocache/template.yml"
PROGRAM = "/opt/gitlab-ci-local"
ORIGIN = "https://gitlab.com/acme/project.git"
FIXED = ("--no-color", "--no-shell-isolation", "--force-shell-executor")
UNCHECKED = "--json-schema-validation=false"  # half of the time of a run; `preview` checks
KEPT = "/var/lib/gitlab-caches"
FAILED = re.compile(r" finished in .* FAIL (\d+)")
UNPACK = """
if [ -e "$1" ]; then
  tar -xf "$1"
  tar -tf "$1" | while read -r name; do if [ -h "$name" ]; then touch -h "$name"; fi; done
fi
"""
PACK = """
archive=$1
shift
if [ ! -e "$archive" ] || [ -n "$(find "$@" -newer "$archive" | head -n 1)" ]; then
  mkdir -p "${archive%/*}"
  tar -cf "$archive" "$@"
fi
"""
PARTS = ("before_script", "after_script")
INPUT = re.compile(r"\$\[\[ inputs\.([a-z0-9-]+) \]\]")
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


@dataclass(frozen=True)
class Pipeline:
    """One run; `project` is a directory of the machine with a git repository, see `git_project`."""

    project: str
    variables: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    """The runner's own environment, which reaches the jobs too."""
    jobs: Sequence[str] = ()
    user: str = "root"

    @property
    def protected(self) -> bool:
        return self.variables.get("CI_COMMIT_REF_PROTECTED") == "true"


@dataclass(frozen=True)
class Outcome:
    """`logs` by job, without what gitlab-ci-local says itself; `text` is everything, for messages."""

    returncode: int
    """Of gitlab-ci-local, 1 for any failure; `status` is a job's."""
    logs: Mapping[str, str]
    text: str

    @property
    def log(self) -> str:
        return "".join(self.logs.values())

    @property
    def status(self) -> int:
        """The exit status of the job that failed first, 0 if none did."""
        failed = FAILED.search(self.text)
        return int(failed[1]) if failed else 0


def binds() -> tuple[Bind, ...]:
    """The binds of a machine that runs it: the program, a Node that is new enough, and this project."""
    return (Bind(npm.installed("gitlab-ci-local"), PROGRAM), Bind(tools.node(), act.NODE), *tools.project())


def git_project(machine: Machine, path: str, files: Mapping[str, str], user: str = "root") -> None:
    """A fresh clone of a project with these files."""
    machine.sh(f"rm -rf {path}")
    act.git_project(machine, path, files, ORIGIN, user)


def run(machine: Machine, pipeline: Pipeline, timeout: float = 120.0) -> Outcome:
    """Runs it; every job, or those that it names."""
    command = [*_command(pipeline), UNCHECKED]
    with machine.start(command, user=pipeline.user, env=_env(pipeline), cwd=pipeline.project) as process:
        wait_for(lambda: not process.running(), f"the end of the pipeline, which said\n{process.text()}", timeout)
    output = f"{pipeline.project}/.gitlab-ci-local/output"
    names = machine.sh(f"ls {output} || true").stdout.split()
    logs = {name.removesuffix(".log"): machine.read(f"{output}/{name}") for name in names}
    return Outcome(process.wait(), logs, process.text())


def preview(machine: Machine, pipeline: Pipeline) -> str:
    """The pipeline with its includes expanded, as YAML."""
    command = [*_command(pipeline), "--preview"]
    return machine.run(command, user=pipeline.user, env=_env(pipeline), cwd=pipeline.project).stdout


@dataclass(frozen=True)
class Runner:
    """A runner on one machine, with the caches that GitLab's `cache:` has it keep below KEPT.

    Source: GitLab's reference of `cache`, its page on caching, and gitlab-runner's file_archiver.go, which packs only
    what changed, and zip_extra.go, which does not restore the time of a link. An archive may hold any path of the
    project.
    """

    machine: Machine
    separate: bool = True
    """The project's setting that protected refs have caches of their own."""

    def run(self, pipeline: Pipeline, job: str) -> Outcome:
        """One job, between what is restored and what is saved."""
        entries = self.entries(pipeline, job)
        for entry in entries:
            if entry.get("policy", "pull-push") != "push":
                self._sh(pipeline, UNPACK, self._archive(entry, pipeline))
        done = run(self.machine, Pipeline(**{**vars(pipeline), "jobs": (job,)}))
        for entry in entries:
            if entry.get("policy", "pull-push") != "pull" and (done.returncode == 0 or entry.get("when") == "always"):
                self._save(entry, pipeline)
        return done

    def entries(self, pipeline: Pipeline, job: str) -> list[dict[str, Any]]:
        """The template's `cache:`, variables replaced; what gitlab-ci-local expands has lost `unprotect`."""
        known = {"CI_JOB_NAME_SLUG": job, "CI_COMMIT_REF_PROTECTED": "false", **pipeline.variables}
        found = template_cache()
        for entry in found:
            entry["key"] = _expanded(entry["key"], known)
            entry["paths"] = [_expanded(path, known) for path in entry["paths"]]
        return found

    def _archive(self, entry: Mapping[str, Any], pipeline: Pipeline) -> str:
        whose = "protected" if pipeline.protected and not entry.get("unprotect") else "non_protected"
        return f"{KEPT}/{entry['key']}" + (f"-{whose}" if self.separate else "") + ".tar"

    def _save(self, entry: Mapping[str, Any], pipeline: Pipeline) -> None:
        archive = self._archive(entry, pipeline)
        there = [path for path in entry["paths"] if self.machine.exists(f"{pipeline.project}/{path}")]
        if there:
            self._sh(pipeline, PACK, archive, *there)

    def _sh(self, pipeline: Pipeline, script: str, *arguments: str) -> None:
        """As the runner's helper does it: as root, and letting everybody write what it makes."""
        self.machine.run(["sh", "-euc", f"umask 0; {script}", "cache", *arguments], cwd=pipeline.project)


def scripts(**inputs: str) -> dict[str, str]:
    """The template's before_script and after_script as GitLab makes them, with these inputs and else the defaults."""
    header, body = yaml.safe_load_all(TEMPLATE.read_text(encoding="utf-8"))
    rows = header["spec"]["inputs"]
    given = {name: str(row["default"]) for name, row in rows.items()}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}
    job = body["$[[ inputs.job ]]"]
    return {name: INPUT.sub(lambda found: given[found[1]], "\n".join(job[name])) for name in PARTS}


def template_cache() -> list[dict[str, Any]]:
    """The `cache:` of the hidden job, with the default of its input."""
    header, body = yaml.safe_load_all(TEMPLATE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = copy.deepcopy(body["$[[ inputs.job ]]"]["cache"])
    for entry in found:
        key = header["spec"]["inputs"]["cache-key"]["default"]
        entry["key"] = entry["key"].replace("$[[ inputs.cache-key ]]", key)
    return found


def _command(pipeline: Pipeline) -> list[str]:
    options = [word for name, value in pipeline.variables.items() for word in ("--variable", f"{name}={value}")]
    return [f"{act.NODE}/node", f"{PROGRAM}/gitlab-ci-local/dist/index.js", *FIXED, *options, *pipeline.jobs]


def _env(pipeline: Pipeline) -> dict[str, str]:
    return {"PATH": f"{act.NODE}:{PATH}", "GIT_CONFIG_NOSYSTEM": "1", **act.AUTHOR, **pipeline.env}


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    return VARIABLE.sub(lambda found: variables.get(found[1] or found[2], ""), text)
