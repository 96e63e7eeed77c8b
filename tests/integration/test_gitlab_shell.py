"""The shell of the GitLab component, in the shells that images have: it runs nothing that others wrote."""

import pytest

from tests.conftest import MakeMachine
from tests.harness import gitlab, nix, product, tools
from tests.harness.commands import Completed
from tests.harness.machine import Machine
from tests.harness.pipelines import PROJECT
from tests.harness.roots import NEW

SHELLS = {"bash": ["bash", "-eo", "pipefail", "-c"], "dash": ["dash", "-ec"], "busybox": ["busybox", "sh", "-ec"]}
JOB = "nix-autocache-4711"
LOOT = "/tmp/loot"
TRAP = f"id -un >>{LOOT}; env >>{LOOT}"


def ready(machine: MakeMachine) -> Machine:
    made = machine(NEW, product.binds())
    made.add_user("gitlab")
    made.add_user("mallory")
    nix.without_daemon(made, owner="gitlab")
    made.sh(f"install -d -o gitlab {PROJECT} /srv/cache; touch {LOOT}; chmod 666 {LOOT}")
    return made


def part(machine: Machine, name: str, shell: str = "bash", user: str = "gitlab", **inputs: str) -> Completed:
    env = {
        **{name: value for name, value in product.environment().items() if not name.startswith("PYTHON")},
        "CI_JOB_ID": "4711",
        "CI_PROJECT_DIR": PROJECT,
        "CI_PIPELINE_SOURCE": "push",
        "SECRET_OF_THE_JOB": "hunter2",
        "BRANCH": f"x$(id >>{LOOT})`id >>{LOOT}`'\"; id >>{LOOT} #",
        "PLACE": tools.TARGET,
    }
    script = gitlab.scripts(**{"install": tools.TARGET, **inputs})[name]
    return machine.run([*SHELLS[shell], script], user=user, env=env, cwd=PROJECT, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_after_script_runs_nothing_of_another_user(machine: MakeMachine, shell: str) -> None:
    """The number of the next job can be guessed, and before_script's failure does not keep after_script away."""
    made = ready(machine)
    prepared = {
        "a directory": f"mkdir -m 755 /tmp/{JOB}; echo '{TRAP}' | tee /tmp/{JOB}/tool >/tmp/{JOB}/environment",
        "a closed one": f"mkdir -m 700 /tmp/{JOB}; echo '{TRAP}' >/tmp/{JOB}/tool; chmod 711 /tmp/{JOB}",
        "a link to one of the user's": f"ln -s /home/gitlab/closed /tmp/{JOB}",
        "a link to nothing": f"ln -s /tmp/nothing-yet /tmp/{JOB}",
        "a file": f"echo '{TRAP}' >/tmp/{JOB}",
    }
    made.sh("mkdir -m 700 closed; echo 'id >>/tmp/loot' >closed/tool; chown -R gitlab: closed", cwd="/home/gitlab")
    for what, script in prepared.items():
        made.sh(f"rm -rf /tmp/{JOB}")
        made.sh(script, user="mallory")
        before = part(made, "before_script", shell)
        assert before.returncode == 3, (what, before.stdout + before.stderr)
        assert "for this user alone" in before.stderr, what
        after = part(made, "after_script", shell)
        assert "nothing was set up in this job" in after.stdout, (what, after.stdout + after.stderr)
        assert made.read(LOOT) == "", what
        assert made.sh(f"ls -d /tmp/{JOB}").stdout, "what is not ours stays"
    assert made.exists("/home/gitlab/closed/tool")


@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_job_keeps_lies_where_gitlab_keeps_its_own(machine: MakeMachine, shell: str) -> None:
    """There another user can neither read it nor take its name; where others may write, /tmp is taken."""
    made = ready(machine)
    made.sh(f"mkdir /tmp/{JOB}; echo '{TRAP}' >/tmp/{JOB}/tool", user="mallory")
    made.sh(f"mkdir -m 755 {PROJECT}.tmp; chown gitlab {PROJECT}.tmp")
    before = part(made, "before_script", shell)
    assert before.returncode == 0, before.stdout + before.stderr
    assert made.sh(f"stat -c '%U %a' {PROJECT}.tmp/{JOB}").stdout == "gitlab 700\n"
    after = part(made, "after_script", shell)
    assert "nothing was set up" not in after.stdout
    assert made.sh(f"ls -A {PROJECT}.tmp").stdout == ""
    made.sh(f"rm -rf /tmp/{JOB}; chmod 777 {PROJECT}.tmp")
    assert part(made, "before_script", shell).returncode == 0
    assert made.sh(f"stat -c '%U %a' /tmp/{JOB}").stdout == "gitlab 700\n"
    part(made, "after_script", shell)
    assert not made.exists(f"/tmp/{JOB}")
    assert made.read(LOOT) == ""


def test_no_value_of_an_input_is_run(machine: MakeMachine) -> None:
    made = ready(machine)
    command = f"$(id >>{LOOT})`id >>{LOOT}`${{x:-$(id >>{LOOT})}}'\"; id >>{LOOT} #"
    for install in (
        command,
        "$BRANCH",
        "${BRANCH}",
        f"git+https://$BRANCH/{command}@{'0' * 40}",
        f"./{command}",
        f"/{command}",
    ):
        for shell in SHELLS:
            done = part(made, "before_script", shell, install=install)
            assert done.returncode in {2, 3}, done.stdout + done.stderr
    for cache in (f"file:///srv/cache/{command}", f"file:///srv/cache/{command}\n=end=\n); id >>{LOOT}; : $(true"):
        part(made, "before_script", cache=cache)
        part(made, "after_script", cache=cache)
    assert made.read(LOOT) == ""
    for install in ("$PLACE", "${PLACE}", "$NOTHING/nix-autocache"):
        assert part(made, "before_script", install=install).returncode == 0
        part(made, "after_script", install=install)


def test_a_directory_of_any_name_holds_the_program(machine: MakeMachine) -> None:
    """A shell reads the file that before_script writes for after_script."""
    made = ready(machine)
    name = "it's; touch loot; $(touch loot) \\' \""
    made.run(["ln", "-s", tools.TARGET, f"{PROJECT}/{name}"])
    before = part(made, "before_script", install=f"./{name}")
    assert before.returncode == 0, before.stdout + before.stderr
    after = part(made, "after_script", install=f"./{name}")
    assert "nothing was set up" not in after.stdout
    assert not made.exists(f"{PROJECT}/loot")
