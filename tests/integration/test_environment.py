"""The environment of packages: made once, from the lock, with every hash checked, by uv or by pip."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import act, product, programs, tools, wheels
from tests.harness.commands import Completed
from tests.harness.machine import Bind, Machine
from tests.harness.roots import RECENT

FRESH = "/root/tool-cache"


def shim(machine: Machine, user: str = "root", cwd: str | None = None, **env: str) -> Completed:
    """The action's main step without its inputs, as a runner starts it; a wrong input ends it once it could begin."""
    variables = {
        **wheels.wheelhouse(product.LOCKS).env(),
        "PATH": f"{act.NODE}:/usr/local/bin:/usr/bin:/bin",
        "RUNNER_TOOL_CACHE": FRESH,
        "GITHUB_ACTIONS": "true",
        "INPUT_PUSH": "maybe",
        "UV_OFFLINE": "1",
        **env,
    }
    command = [f"{act.NODE}/node", f"{tools.TARGET}/src/action/main.mjs"]
    return machine.run(command, env=variables, user=user, cwd=cwd, check=False)


def began(done: Completed) -> bool:
    """True if the packages were installed: the program saw the wrong input, and said nothing else."""
    return done.returncode == 2 and "not one of auto" in done.stdout and "Traceback" not in done.stderr


def post(machine: Machine, state: str) -> Completed:
    """The action's post step, given what the main step kept."""
    kept = dict(line.split("=", 1) for line in state.splitlines())
    env = {f"STATE_{name}": value for name, value in kept.items()}
    command = [f"{act.NODE}/node", f"{tools.TARGET}/src/action/post.mjs"]
    return machine.run(command, env={"PATH": "/usr/bin:/bin", "GITHUB_ACTIONS": "true", **env}, check=False)


@pytest.fixture
def binds() -> list[Bind]:
    return [*product.binds(), act.binds()[1]]


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
    good = wheels.wheelhouse(product.LOCKS).path
    for wheel in good.iterdir():
        shutil.copy(wheel, tmp_path)
    for wheel in tmp_path.glob("idna-*.whl"):
        wheel.write_bytes(wheel.read_bytes() + b"\0")
    made = machine(RECENT, [bind for bind in binds if bind.target != wheels.TARGET] + [Bind(tmp_path, wheels.TARGET)])
    done = shim(made)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "cannot install the packages of nix-autocache" in done.stdout
    assert made.sh(f"ls -A {FRESH}/nix-autocache").stdout == "bytecode\n"


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
    made.sh("rm -rf /usr/lib/python3/dist-packages/pip /usr/lib/python3*/ensurepip /usr/share/python-wheels")
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


ELSEWHERE = "/nonexistent/elsewhere"
PROOF = 'open("/tmp/proof", "a").write(__name__)\n'
PIP_VARIABLES = {
    "PIP_USER": "1",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_TARGET": ELSEWHERE,
    "PIP_CONSTRAINT": ELSEWHERE,
    "PIP_NO_BINARY": ":all:",
    "PIP_REQUIRE_HASHES": "0",
    "PIP_LOG": ELSEWHERE,
}
PIP_CONF = f"""
[global]
user = true
require-virtualenv = true
constraint = {ELSEWHERE}
[install]
target = {ELSEWHERE}
find-links = {wheels.TARGET}
[download]
dest = {ELSEWHERE}
no-index = true
"""
UV_VARIABLES = {
    "UV_TARGET": ELSEWHERE,
    "UV_CONSTRAINT": ELSEWHERE,
    "UV_NO_BINARY": "1",
    "UV_EXCLUDE_NEWER": "2001-01-01",
    "UV_CACHE_DIR": ELSEWHERE,
    "UV_PYTHON": "3.99",
    "UV_NO_VERIFY_HASHES": "1",
}
UV_TOML = f"""
exclude-newer = "2001-01-01"
cache-dir = "{ELSEWHERE}"
no-index = true
[pip]
target = "{ELSEWHERE}"
no-binary = [":all:"]
find-links = ["{wheels.TARGET}"]
"""


def test_of_pips_settings_only_where_packages_are_counts(machine: MakeMachine, binds: list[Bind]) -> None:
    """An image that always installs for its user, or with constraints, does so for its own purposes."""
    made = machine(RECENT, binds)
    assert began(done := shim(made, RUNNER_TOOL_CACHE="/root/1", **PIP_VARIABLES)), done
    made.write("/root/.config/pip/pip.conf", PIP_CONF)
    made.write("/root/.pydistutils.cfg", f"[install]\nprefix={ELSEWHERE}\n")
    assert began(done := shim(made, RUNNER_TOOL_CACHE="/root/2", PIP_NO_INDEX="", PIP_FIND_LINKS="")), done
    made.sh("rm /root/.config/pip/pip.conf")
    assert shim(made, RUNNER_TOOL_CACHE="/root/3", PIP_FIND_LINKS="").returncode == 3
    assert not made.exists("/nonexistent")


def test_of_uvs_settings_only_where_packages_are_counts(machine: MakeMachine, binds: list[Bind]) -> None:
    made = machine(RECENT, [*binds, Bind(tools.program("uv"), "/usr/local/bin/uv")])
    made.sh("rm -rf /usr/lib/python3/dist-packages/pip")
    assert began(done := shim(made, RUNNER_TOOL_CACHE="/root/1", **UV_VARIABLES)), done
    made.write("/root/.config/uv/uv.toml", UV_TOML)
    assert began(done := shim(made, RUNNER_TOOL_CACHE="/root/2", UV_NO_INDEX="", UV_FIND_LINKS="")), done
    assert not made.exists("/nonexistent")


def test_what_uv_cannot_do_pip_does(machine: MakeMachine, binds: list[Bind]) -> None:
    """Behind a firewall only one of them may know the index."""
    made = machine(RECENT, [*binds, Bind(tools.program("uv"), "/usr/local/bin/uv")])
    assert began(done := shim(made, UV_FIND_LINKS="")), done


def test_packages_are_put_where_only_this_user_can_write(machine: MakeMachine, binds: list[Bind]) -> None:
    made = machine(RECENT, binds)
    made.add_user("ci")
    made.sh("mkdir -m 755 /of-root; mkdir -m 777 /open; mkdir -m 1777 /sticky; mkdir /read-only /noexec; "
            "mount -t tmpfs -o ro tmpfs /read-only; mount -t tmpfs -o noexec,mode=1777 tmpfs /noexec")  # fmt: skip
    for cache in ("/of-root", "/open", "/read-only", "/noexec", "relative", "/dev/null"):
        done = shim(made, user="ci", RUNNER_TOOL_CACHE=cache)
        assert began(done), (cache, done)
        assert "/home/ci/.cache/nix-autocache" in made.sh("ls -d /home/ci/.cache/nix-autocache/*").stdout
    assert began(done := shim(made, user="ci", RUNNER_TOOL_CACHE="/sticky", HOME="/nonexistent")), done
    assert made.sh("stat -c '%U %a' /sticky/nix-autocache").stdout == "ci 755\n"
    assert began(done := shim(made, user="ci", RUNNER_TOOL_CACHE="", HOME="/")), done
    (own,) = made.sh("stat -c '%U %a %n' /tmp/nix-autocache-*").stdout.splitlines()
    assert own.startswith("ci 700 /tmp/nix-autocache-")


def test_packages_that_another_user_could_have_put_there_are_not_imported(
    machine: MakeMachine, binds: list[Bind]
) -> None:
    made = machine(RECENT, binds)
    made.add_user("mallory")
    shim(made)
    (name,) = made.sh(f"cd {FRESH}/nix-autocache; ls -d ????????????????????").stdout.split()
    made.sh("mkdir -m 1777 /sticky; mkdir -m 777 /open; mkdir /root/link; : >/tmp/proof; chmod 666 /tmp/proof")
    made.run(programs.shell("plant_packages.sh", name), user="mallory")
    made.sh("ln -s /home/mallory/nix-autocache /root/link/nix-autocache")
    for cache in ("/sticky", "/open", "/home/mallory", "/root/link", ""):
        done = shim(made, RUNNER_TOOL_CACHE=cache, HOME="/nonexistent")
        assert began(done), (cache, done)
    assert made.read("/tmp/proof") == ""


def test_what_went_wrong_in_the_main_step_is_not_said_again_in_the_post_step(
    machine: MakeMachine, binds: list[Bind]
) -> None:
    made = machine(RECENT, binds)
    without_packages = {"PIP_FIND_LINKS": "", "UV_FIND_LINKS": "", "RUNNER_TOOL_CACHE": "/root/other"}
    ways: list[dict[str, str]] = [{}, without_packages, {"PATH": "/empty"}]
    for more in ways:
        made.write("/root/state", "")
        failed = shim(made, **{"GITHUB_STATE": "/root/state", **more})
        assert failed.returncode in {2, 3}, failed
        done = post(made, made.read("/root/state"))
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done
        assert "::error" not in done.stdout
        assert "not one of" not in done.stdout


def test_an_error_that_no_code_expected_is_one_line_and_a_file(machine: MakeMachine, binds: list[Bind]) -> None:
    """As from a Python without all of its standard library, and from a mistake of ours."""
    made = machine(RECENT, binds)
    made.sh("mv /usr/lib/python3.13/json /root")
    done = shim(made)
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (3, 1, ""), done
    assert "lacks the module json" in done.stdout
    made.write("/usr/lib/python3.13/json.py", "{}['secret']")
    done = shim(made)
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (3, 1, ""), done
    assert "secret" not in done.stdout
    (log,) = made.sh("ls /tmp/nix-autocache-*.log").stdout.split()
    assert log in done.stdout
    assert "KeyError: 'secret'" in made.read(log)
    assert made.sh(f"stat -c %a {log}").stdout == "600\n"


REPOSITORY = {
    "uv.toml": f'cache-dir = ".uv"\nrequired-version = ">=99"\nindex-url = "file://{ELSEWHERE}"\n',
    "pyproject.toml": f'[product.uv]\nno-index = false\ncache-dir = ".uv"\n[product.uv.pip]\ntarget = "{ELSEWHERE}"\n',
    "pip.conf": f"[global]\nindex-url = file://{ELSEWHERE}\ntarget = {ELSEWHERE}\n",
    "setup.cfg": f"[install]\nprefix = {ELSEWHERE}\n[easy_install]\nindex_url = file://{ELSEWHERE}\n",
    ".python-version": "3.99\n",
    ".env": f"UV_TARGET={ELSEWHERE}\n",
    **{f"{name}.py": PROOF for name in ("sitecustomize", "usercustomize", "nacl", "json", "pip", "obstore", "uv")},
    "nix_autocache/__init__.py": PROOF,
}


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_what_lies_in_the_checkout_changes_nothing(machine: MakeMachine, binds: list[Bind], installer: str) -> None:
    """A pull request of a fork is checked out before the action, and nothing of it may be run, or obeyed, by us."""
    made = machine(RECENT, [*binds, Bind(tools.program("uv"), "/usr/local/bin/uv")] if installer == "uv" else binds)
    if installer == "uv":
        made.sh("rm -rf /usr/lib/python3/dist-packages/pip")
    for name, text in REPOSITORY.items():
        made.write(f"/root/checkout/{name}", text)
    for more in ({}, {"PYTHONPATH": "/root/checkout", "VIRTUAL_ENV": "/root/checkout"}):
        assert began(done := shim(made, cwd="/root/checkout", **more)), done
        made.sh(f"rm -rf {FRESH}")
    assert not made.exists("/tmp/proof")
    assert not made.exists("/nonexistent")
    assert not made.exists("/root/checkout/.uv")
