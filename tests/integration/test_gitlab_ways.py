"""The ways to have the GitLab component: how it is included, where the program comes from, what a job runs in."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from tools.reference import EXAMPLES, script

from nix_autocache import __version__
from tests.conftest import MakeMachine
from tests.harness import built, gitlab, graphs, nix, product, tools, wheels
from tests.harness.aws import GIVEN, ROLE, in_machine
from tests.harness.container import unprivileged
from tests.harness.gitlab import Pipeline, git_project
from tests.harness.job import Job
from tests.harness.machine import Bind, Machine
from tests.harness.pipelines import (
    PROJECT,
    REPOSITORY,
    SCRIPT,
    cached,
    environment,
    fresh,
    pipeline,
    rewriting,
    runs,
    serve,
    tools_of_its_own,
)
from tests.harness.release import release
from tests.harness.roots import NEW, RECENT
from tests.harness.waiting import wait_for

GOLDEN = Path(__file__).with_name("golden")
PLACEHOLDER = "0" * 40


@pytest.fixture
def runner(machine: MakeMachine, tmp_path: Path) -> Machine:
    return fresh(machine, tmp_path)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: str(path.stem))
def test_the_examples_are_whole_pipelines(runner: Machine, example: Path) -> None:
    commit = serve(runner)
    env = {**environment(), **rewriting(), "RUNNER_TOOL_CACHE": tools_of_its_own(runner)}
    env["NIX_CONFIG"] = "download-attempts = 1"  # the bucket's own address cannot be reached
    text = example.read_text().replace("s3://my-bucket?region=eu-west-1", "file:///srv/cache")
    git_project(runner, PROJECT, {".gitlab-ci.yml": text, "default.nix": graphs.leaf("one")})
    key = Job(runner).keygen()
    done = gitlab.run(runner, Pipeline(PROJECT, {"NIX_SIGNING_KEY": key}, env))
    assert done.returncode == 0, done.text
    assert "1 pushed" in done.logs["build"]
    assert f"nix-autocache {__version__} ({commit[:12]})\n" in done.log
    assert key not in done.log

    expanded = gitlab.preview(runner, Pipeline(PROJECT, env=env)).replace(commit, PLACEHOLDER)
    for name in ("tool", "python", "setup", "finish"):
        indented = "".join(f"      {line}\n" for line in script(name).splitlines())
        expanded = expanded.replace(indented, f"      src/gitlab/{name}.sh\n")
    expanded = expanded.replace(f"nix_autocache_template='{__version__}'", "nix_autocache_template='VERSION'")
    golden = GOLDEN / f"{example.stem}.yml"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(expanded)
    assert expanded == golden.read_text(), "if that is what it should be: GOLDEN=write make test"


@pytest.mark.parametrize(
    "include",
    [
        "component: gitlab.com/nix-autocache/nix-autocache/nix-autocache@0.1",
        "component: gitlab.com/nix-autocache/nix-autocache/nix-autocache@~latest",
        "{project: nix-autocache/nix-autocache, ref: 0.1.0, file: templates/nix-autocache/template.yml}",
        "remote: http://127.0.0.1:8000/templates/nix-autocache/template.yml",
    ],
)
def test_however_it_is_included_it_is_the_same(runner: Machine, include: str) -> None:
    serve(runner)
    template = gitlab.TEMPLATE.read_text()
    given = "inputs: {install: ./tool, job: .cached}"
    include = f"{include[:-1]}, {given}}}" if include[0] == "{" else f"{{{include}, {given}}}"
    expanded = []
    with runner.start(["python3", "-m", "http.server", "--directory", tools.TARGET, "8000"]) as server:
        wait_for(lambda: "Serving" in server.text() or not server.running() or bool(listens(runner)), "the server")
        for way in (f"{{local: nix-autocache.yml, {given}}}", include):
            text = f"include: [{way}]\nbuild: {{extends: .cached, script: [nix-build]}}\n"
            git_project(runner, PROJECT, {".gitlab-ci.yml": text, "nix-autocache.yml": template})
            expanded.append(gitlab.preview(runner, Pipeline(PROJECT, env={**environment(), **rewriting()})))
    assert expanded[0] == expanded[1]
    assert "./tool" in expanded[1]


def listens(machine: Machine) -> str:
    return machine.sh("grep ':1F40 ' /proc/net/tcp || true").stdout


def test_a_commit_is_fetched_once_and_kept_with_its_packages(machine: MakeMachine, tmp_path: Path) -> None:
    uv = Bind(tools.program("uv"), "/usr/local/bin/uv")
    env = {**environment(), **rewriting(), "UV_OFFLINE": "1"}
    del env["RUNNER_TOOL_CACHE"]
    commits = []
    for reachable in (True, False):
        made = machine(NEW, [*product.binds(), *gitlab.binds()[:2], Bind(tmp_path, gitlab.KEPT, writable=True), uv])
        nix.without_daemon(made)
        commits += [serve(made)] if reachable else []
        env |= {} if reachable else {"UV_FIND_LINKS": "/nonexistent"}
        done = runs(made, pipeline(inputs={"install": f"git+{REPOSITORY}@{commits[0]}"}), env=env)
        assert done.returncode == 0, done.text
    made = machine(NEW, [*product.binds(), *gitlab.binds()[:2]])
    done = runs(made, pipeline(inputs={"install": f"git+{REPOSITORY}@{commits[0]}"}), env=env)
    assert done.status == 3
    assert f"install: commit {commits[0]} cannot be fetched with git; see above" in done.log


def test_a_wheel_from_an_index_is_taken_with_its_hash_only(machine: MakeMachine, tmp_path: Path) -> None:
    wheel, commit = built.wheel(tmp_path)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    made = machine(NEW, [*product.binds(), *gitlab.binds()[:2], Bind(wheel.parent, "/index")])
    nix.without_daemon(made)
    env = {**environment(), "PIP_FIND_LINKS": f"{wheels.TARGET} /index", "RUNNER_TOOL_CACHE": tools_of_its_own(made)}
    env |= {"PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1", "PIP_CONSTRAINT": "/nonexistent"}  # of the image's own
    wanted = f"nix-autocache=={wheel.name.split('-')[1]} --hash=sha256:"
    refused = runs(made, pipeline(inputs={"install": wanted + "0" * 64}), env=env)
    assert refused.status == 3
    assert "install: it cannot be installed; see above" in refused.log
    assert f"got        {digest}" in refused.log.lower(), refused.log
    # As nixpkgs has it: pip is only a wheel, for virtual environments.
    made.sh(
        "cd /usr/lib/python3.*/ensurepip; mkdir _bundled; mv /usr/share/python-wheels/pip-*.whl _bundled;"
        "rm -r /usr/lib/python3/dist-packages/pip"
    )
    done = runs(made, pipeline(inputs={"install": wanted + digest}), env=env)
    assert done.returncode == 0, done.text
    assert f"nix-autocache {__version__} ({commit[:12]})\n" in done.log
    assert "1 pushed" in done.log


@pytest.mark.parametrize("shell", ["bash", "dash", "busybox sh"])
def test_the_scripts_run_in_the_shells_of_images(runner: Machine, shell: str) -> None:
    """As the runner has them run: evaluated behind a pipe, where an exit trap is a subshell's."""
    _, body = yaml.safe_load_all(gitlab.TEMPLATE.read_text())
    header = next(yaml.safe_load_all(gitlab.TEMPLATE.read_text()))["spec"]["inputs"]
    given = {"install": tools.TARGET, "on-upload-failure": "fail", "cache": "file:///srv/cache", "signing-key": "$KEY"}
    for part in ("setup", "finish"):
        text = "\n".join([*body["$[[ inputs.steps ]]"][part], *([SCRIPT] if part == "setup" else [])])
        for name, row in header.items():
            text = text.replace(f"$[[ inputs.{name} ]]", str(given.get(name, row["default"])))
        runner.write(f"/tmp/{part}", text)
    runner.write(f"{PROJECT}/default.nix", graphs.leaf("one"))
    key = Job(runner).keygen()
    job = {"CI_JOB_ID": "1", "CI_PIPELINE_SOURCE": "push", "CI_PROJECT_DIR": PROJECT, "KEY": key}
    said = ""
    for part in ("setup", "finish"):
        command = [*shell.split(), "-c", f'set -e; : | eval "$(cat /tmp/{part})"; exit 0']
        done = runner.run(command, cwd=PROJECT, env={**environment(), **job})
        said += done.stdout + done.stderr
    assert "1 pushed" in said
    assert "0 pushed" not in said
    assert "the script's end was not seen" not in said
    assert len(cached(runner, "/srv/cache").split()) == 1


def without_nix(machine: MakeMachine, user: str) -> tuple[Machine, Mapping[str, object]]:
    """The inside of a container without privileges, and where that user's job gets a Nix from."""
    tarball = release(RECENT)
    made = machine(RECENT, [*product.binds(), *gitlab.binds()[:2], tarball.bind()], nix=False)
    made.write("/etc/nix/nix.conf", nix.CONFIG)
    if user != "root":
        made.add_user(user)
        made.sh(f"install -d -o {user} /nix /builds/acme; chown {user} /builds")
        Job(made).run("--version")  # the packages are root's
    return unprivileged(made), {"nix-url": tarball.url(), "nix-sha256": tarball.sha256}


@pytest.mark.parametrize("user", ["root", "ci"])
def test_in_a_container_without_privileges(machine: MakeMachine, user: str) -> None:
    """As root in Docker, whose processes all end with the script; as an ordinary user who owns /nix in Kubernetes."""
    made, inputs = without_nix(machine, user)
    made.write(
        "/usr/local/bin/end", "#!/bin/sh\npkill -KILL -f 'uploader[.]process[.]main|nix-daemon'; exit 0\n", 0o755
    )
    done = runs(made, pipeline("end", SCRIPT, "nix --version", "end", inputs=inputs), user=user)
    assert done.returncode == 0, done.text
    assert ("mode multi-user" in done.log) is (user == "root")
    assert "uploading from here" in done.log
    assert cached(made).count("-one\n") == 1


def test_a_role_is_assumed_with_the_components_id_token(machine: MakeMachine, tmp_path: Path) -> None:
    made = machine(NEW, [*product.binds(), *gitlab.binds()[:2]])
    nix.without_daemon(made)
    with in_machine(made, tmp_path / "aws") as account:
        account.keep(Job(made).keygen("cache-1"))
        inputs = {"cache": account.cache, "aws-role": ROLE, "signing-key": "aws-ssm:/ci/key"}
        env = {**environment(), **account.env()}
        done = runs(made, pipeline(inputs=inputs), {"NIX_AUTOCACHE_ID_TOKEN": GIVEN}, env=env)
        assert done.returncode == 0, done.text
        assert len(account.objects()) == 1
        assert account.control()["sessions"] == 2, "what uploads and what Nix reads by assume it once each"
        without = runs(made, pipeline(inputs=inputs), {"GITLAB_CI": "true"}, env=env)
        assert "there is no id token for aws-role" in without.log


OWN_TOOLS = {name: value for name, value in environment().items() if name != "RUNNER_TOOL_CACHE"}
# In everything of ours that this user may change.
SPOIL = """#!/bin/sh
find /builds /tmp -name '*.py' -path '*nix_autocache*' -writable 2>/dev/null |
  while read -r file; do echo 1/0 >"$file"; done
"""


def test_what_arrives_writable_by_everybody_is_not_run(runner: Machine) -> None:
    """GitLab's Docker executor clones and unpacks caches with umask 0; a build without sandbox is another user's."""
    runner.add_user("other")
    runner.write("/usr/local/bin/spoil", SPOIL, mode=0o755)
    text = pipeline("su other -c spoil", SCRIPT, inputs={"install": "./program"})
    files = {
        ".gitlab-ci.yml": text,
        "nix-autocache.yml": gitlab.TEMPLATE.read_text(),
        "default.nix": graphs.leaf("one"),
    }
    gitlab.git_project(runner, PROJECT, files)
    evil = f"{PROJECT}/.nix-autocache/tools/nix-autocache"
    runner.sh(f"""
        mkdir -p {PROJECT}/program {evil}
        cp -RL {tools.TARGET}/src/nix_autocache {PROJECT}/program/
        chmod -R a+rwX /builds {PROJECT}
    """)
    done = gitlab.Runner(runner).run(gitlab.Pipeline(PROJECT, env=OWN_TOOLS), "build")
    assert done.returncode == 0, done.text
    assert "1 pushed" in done.log, done.text
    assert runner.read(f"{PROJECT}/program/nix_autocache/cli/bootstrap.py") == "1/0\n"
