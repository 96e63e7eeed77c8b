"""The environment of packages: made once, from the lock, with every hash checked, by uv or by pip."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.ground import act, tool, tools, wheels
from tests.ground.commands import Completed
from tests.ground.machine import Bind, Machine
from tests.ground.roots import RECENT

FRESH = "/root/tool-cache"


def shim(machine: Machine, **env: str) -> Completed:
    """The action's main step without its inputs, as a runner starts it; a wrong input ends it once it could begin."""
    variables = {
        **wheels.wheelhouse(tool.LOCKS).env(),
        "PATH": f"{act.NODE}:/usr/local/bin:/usr/bin:/bin",
        "RUNNER_TOOL_CACHE": FRESH,
        "GITHUB_ACTIONS": "true",
        "INPUT_PUSH": "maybe",
        "UV_OFFLINE": "1",
        **env,
    }
    command = [f"{act.NODE}/node", f"{tools.TARGET}/src/action/main.mjs"]
    return machine.run(command, env=variables, check=False)


@pytest.fixture
def binds() -> list[Bind]:
    return [*tool.binds(), act.binds()[1]]


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_it_is_made_once_and_kept(machine: MakeMachine, binds: list[Bind], installer: str) -> None:
    made = machine(RECENT, [*binds, Bind(tools.program("uv"), "/usr/local/bin/uv")] if installer == "uv" else binds)
    if installer == "uv":
        made.sh("rm -rf /usr/lib/python3/dist-packages/pip")
    first = shim(made)
    assert (first.returncode, "not one of auto" in first.stdout) == (2, True), first.stdout + first.stderr
    (environment,) = made.sh(f"ls -d {FRESH}/nix-autocache/*/obstore").stdout.split()
    second = shim(made, PIP_FIND_LINKS="/nonexistent", UV_FIND_LINKS="/nonexistent")
    assert second.returncode == 2
    assert made.exists(environment)


def test_a_package_with_another_hash_is_refused(machine: MakeMachine, binds: list[Bind], tmp_path: Path) -> None:
    good = wheels.wheelhouse(tool.LOCKS).path
    for wheel in good.iterdir():
        shutil.copy(wheel, tmp_path)
    for wheel in tmp_path.glob("idna-*.whl"):
        wheel.write_bytes(wheel.read_bytes() + b"\0")
    made = machine(RECENT, [bind for bind in binds if bind.target != wheels.TARGET] + [Bind(tmp_path, wheels.TARGET)])
    done = shim(made)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "cannot install the packages of nix-autocache" in done.stdout
    assert made.sh(f"ls {FRESH}/nix-autocache").stdout == "bytecode\n"


def test_without_a_python_one_line_says_how_to_get_one(machine: MakeMachine, binds: list[Bind]) -> None:
    made = machine(RECENT, binds)
    made.sh("rm -f /usr/bin/python3*")
    done = shim(made)
    assert done.returncode == 3
    assert len(done.stdout.splitlines()) == 1
    assert "actions/setup-python" in done.stdout


def test_a_python_in_the_tool_cache_is_found(machine: MakeMachine, binds: list[Bind]) -> None:
    made = machine(RECENT, binds)
    hidden = f"{FRESH}/Python/3.13.1/x64/bin"
    made.sh(f"mkdir -p {hidden}; mv /usr/bin/python3.13 {hidden}/python3.13; ln -s python3.13 {hidden}/python3")
    made.sh("rm -f /usr/bin/python3*")
    assert shim(made, PYTHONHOME="/nonexistent").returncode == 2


def test_neither_pip_nor_uv_is_one_line(machine: MakeMachine, binds: list[Bind]) -> None:
    made = machine(RECENT, binds)
    made.sh("rm -rf /usr/lib/python3/dist-packages/pip")
    done = shim(made)
    assert done.returncode == 3
    assert done.stdout.strip().endswith("install python3-pip, or uv")


def test_the_jobs_own_modules_are_not_imported(machine: MakeMachine, binds: list[Bind]) -> None:
    """A pull request that brings a json.py must not run in our process."""
    made = machine(RECENT, binds)
    made.write("/root/json.py", "open('/root/owned', 'w')\n")
    made.write("/root/elsewhere/json.py", "open('/root/owned', 'w')\n")
    shim(made, PYTHONPATH="/root/elsewhere", PYTHONSTARTUP="/root/json.py")
    assert not made.exists("/root/owned")
