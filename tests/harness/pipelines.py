"""Pipelines of one job that includes the GitLab component, run as on a runner that keeps caches."""

from collections.abc import Mapping
from pathlib import Path

from nix_autocache import __version__
from tests.conftest import MakeMachine
from tests.harness import act, gitlab, graphs, nix, product, programs, tools
from tests.harness.gitlab import Outcome, Pipeline, Runner
from tests.harness.machine import Bind, Machine
from tests.harness.roots import NEW

PROJECT = "/builds/acme/project"
SCRIPT = "nix-build --no-out-link"
PROTECTED = {"CI_COMMIT_REF_PROTECTED": "true"}
FORK = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "99",
    "CI_MERGE_REQUEST_PROJECT_ID": "1217",
}
REPOSITORY = "https://gitlab.com/nix-autocache/nix-autocache.git"
LOCAL = "local: nix-autocache.yml"


def environment() -> dict[str, str]:
    """A runner's, whose jobs share the packages of all machines."""
    return {name: value for name, value in product.environment().items() if not name.startswith("PYTHON")}


def pipeline(*script: str, inputs: Mapping[str, object] | None = None, include: str = LOCAL) -> str:
    """A pipeline of one job; by default the template is in the project itself."""
    given = {"install": tools.TARGET, **(inputs or {})}
    lines = [f"      {name}: {value}" for name, value in given.items()]
    head = ["include:", f"  - {include}", "    inputs:", *lines, "build:", "  extends: .nix-autocache", "  script:"]
    return "\n".join([*head, *(f"    - {line}" for line in script or (SCRIPT,)), ""])


def runs(
    machine: Machine,
    text: str,
    variables: Mapping[str, str] | None = None,
    expression: str = graphs.leaf("one"),
    env: Mapping[str, str] | None = None,
    user: str = "root",
) -> Outcome:
    """The job `build` of a pipeline, in a fresh clone, with what the runner kept of earlier ones."""
    template = gitlab.TEMPLATE.read_text()
    files = {".gitlab-ci.yml": text, "nix-autocache.yml": template, "default.nix": expression}
    gitlab.git_project(machine, PROJECT, files, user)
    one = Pipeline(PROJECT, variables or {}, environment() if env is None else env, user=user)
    return Runner(machine).run(one, "build")


def cached(machine: Machine, directory: str = f"{PROJECT}/.nix-autocache/unprotected") -> str:
    """The store paths in a cache of that machine, one a line."""
    return machine.sh(f"cat {directory}/*.narinfo 2>/dev/null | sed -n 's/^StorePath: //p' || true").stdout


def fresh(machine: MakeMachine, kept: Path) -> Machine:
    """A machine as a container of a job: all that it has of earlier ones is what the runner kept."""
    made = machine(NEW, [*product.binds(), *gitlab.binds()[:2], Bind(kept, gitlab.KEPT, writable=True)])
    nix.without_daemon(made)
    return made


def serve(machine: Machine) -> str:
    """This project as a repository of gitlab.com that has released its component; the commit of the program."""
    return machine.run(programs.shell("serve_project.sh", tools.TARGET, __version__), env=act.AUTHOR).stdout.strip()


def rewriting() -> dict[str, str]:
    """Variables that lead git there; gitlab-ci-local asks for versions at the second address."""
    rules = {"/srv/gitlab/nix-autocache/": "nix-autocache/", "/srv/gitlab/": ":443/"}
    env = {"GIT_CONFIG_COUNT": str(len(rules)), "GIT_CONFIG_GLOBAL": "/dev/null"}
    for number, (path, address) in enumerate(rules.items()):
        env[f"GIT_CONFIG_KEY_{number}"] = f"url.file://{path}.insteadOf"
        env[f"GIT_CONFIG_VALUE_{number}"] = f"https://gitlab.com{'' if address[0] == ':' else '/'}{address}"
    return env


def tools_of_its_own(machine: Machine) -> str:
    """A tool cache that has all packages, and may be written to."""
    machine.sh(
        f"mkdir -p /root/tools/nix-autocache; ln -s {product.TOOL_CACHE}/nix-autocache/* /root/tools/nix-autocache"
    )
    return "/root/tools"
