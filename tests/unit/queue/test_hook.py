"""The hook, run by every shell at hand: it notes, or it keeps silent; it never fails and never prints."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import pytest

from nix_autocache.queue import hook
from nix_autocache.queue.directory import Queue
from nix_autocache.queue.entry import Entry

HASH = "0123456789abcdfghijklmnpqrsvwxyz"
DRV = f"/nix/store/{HASH}-thing.drv"
OUT = f"/nix/store/{HASH}-thing"
SHELLS = [["sh"], ["bash", "--posix"], ["busybox", "sh"], ["dash"], ["mksh"], ["yash"]]  # macOS has a bash as sh


@pytest.fixture(params=[shell for shell in SHELLS if shutil.which(shell[0])], ids=" ".join)
def shell(request: pytest.FixtureRequest) -> list[str]:
    """The command that runs a script in it, found without a PATH."""
    name, *words = request.param
    return [str(shutil.which(name)), *words]


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    made = Queue(tmp_path / "jobs/one/queue", tmp_path / "roots/one")
    made.create()
    (tmp_path / "roots/one").mkdir(parents=True)
    hook.install(tmp_path / "hook", jobs=tmp_path / "jobs", roots=tmp_path / "roots")
    return made


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=oct)
def test_nobody_else_can_change_an_entry(queue: Queue, shell: list[str], umask: int) -> None:
    """The uploader signs what an entry names."""
    before = os.umask(umask)
    try:
        run(queue, shell, {"DRV_PATH": DRV, "OUT_PATHS": OUT})
    finally:
        os.umask(before)
    assert queue.roots is not None
    assert {path.stat().st_mode & 0o777 for path in (*queue.new.iterdir(), *queue.roots.iterdir())} == {0o644}


def run(queue: Queue, shell: list[str], environment: Mapping[str, str]) -> None:
    """Run it as Nix does; that it is silent and succeeds is checked every time."""
    place = queue.directory.parents[2] / "hook"
    done = subprocess.run([*shell, str(place)], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_outputs_are_noted_and_protected(queue: Queue, shell: list[str]) -> None:
    run(queue, shell, {"DRV_PATH": DRV, "OUT_PATHS": f"{OUT} {OUT}-dev"})
    (entry,) = queue.take()
    assert entry.name == f"{HASH}-thing.drv"
    assert entry.outputs == (OUT, f"{OUT}-dev")
    assert queue.roots is not None
    assert sorted(path.name for path in queue.roots.iterdir()) == [f"{HASH}-thing", f"{HASH}-thing-dev"]


def test_every_job_of_the_machine_is_told(queue: Queue, shell: list[str]) -> None:
    other = Queue(queue.directory.parents[1] / "two/queue")
    other.create()
    run(queue, shell, {"DRV_PATH": DRV, "OUT_PATHS": OUT})
    assert queue.take() == other.take() != []


def test_empty_out_paths_leave_an_entry_without_outputs(queue: Queue, shell: list[str]) -> None:
    run(queue, shell, {"DRV_PATH": DRV, "OUT_PATHS": ""})
    assert [entry.outputs for entry in queue.take()] == [()]


def test_a_queue_that_is_missing(queue: Queue, shell: list[str]) -> None:
    shutil.rmtree(queue.directory)
    run(queue, shell, {"DRV_PATH": DRV, "OUT_PATHS": OUT})


def test_no_job_at_all(queue: Queue, shell: list[str]) -> None:
    shutil.rmtree(queue.directory.parents[1])
    run(queue, shell, {"DRV_PATH": DRV, "OUT_PATHS": OUT})


def test_an_empty_environment(queue: Queue, shell: list[str]) -> None:
    run(queue, shell, {})
    assert queue.take() == []


@pytest.mark.parametrize("kind", ["read-only", "full"])
def test_a_disk_that_cannot_be_written(queue: Queue, shell: list[str], kind: str, tmp_path: Path) -> None:
    """In a mount namespace of its own, the queue on a file system that is read-only, or has no room."""
    options = {"read-only": "ro", "full": "size=4k,nr_inodes=4"}[kind]
    fill = "true" if kind == "read-only" else f"head -c 9999 /dev/zero >{queue.new}/filler 2>/dev/null || true"
    script = f"""
        mount -t tmpfs -o {options} none {queue.directory} || exit 77
        mkdir -p {queue.new} 2>/dev/null || true
        {fill}
        exec {" ".join(shell)} {tmp_path / "hook"}
    """
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    environment = {"PATH": os.environ["PATH"], "DRV_PATH": DRV, "OUT_PATHS": OUT}
    done = subprocess.run(unshare, env=environment, capture_output=True, check=False)
    if done.stderr.startswith((b"unshare:", b"mount:")):
        pytest.skip("this machine has no mount namespaces")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


AT_ONCE = 400


def test_hundreds_run_side_by_side_while_the_queue_is_drained(queue: Queue, shell: list[str]) -> None:
    """Nix 2.35 and later run the hooks of several builds at the same time, and so do the Nix of several jobs.

    In whatever order they come, each is taken once and whole, and its outputs are protected.
    """
    place = queue.directory.parents[2] / "hook"
    wanted = {
        f"{HASH}-{number}.drv": tuple(f"/nix/store/{HASH}-{number}-{i}" for i in "ab") for number in range(AT_ONCE)
    }
    running = [
        subprocess.Popen([*shell, place], env={"DRV_PATH": f"/nix/store/{name}", "OUT_PATHS": " ".join(outputs)})
        for name, outputs in wanted.items()
    ]
    taken: list[Entry] = []
    while len(taken) < AT_ONCE and (any(process.poll() is None for process in running) or any(queue.names())):
        for entry in queue.take(limit=7):
            assert queue.done(entry)
            taken.append(entry)
    assert [process.wait() for process in running] == [0] * AT_ONCE
    assert sorted((entry.name, entry.outputs) for entry in taken) == sorted(wanted.items())
    assert queue.roots is not None
    assert {path.name for path in queue.roots.iterdir()} == {path.name for path in map(Path, chain(*wanted.values()))}


@pytest.mark.parametrize(
    "drv",
    [
        "",
        "/",
        "..",
        "/nix/store/..",
        "/nix/store/.hidden.drv",
        "/nix/store/a b.drv",
        "/nix/store/a\nb.drv",
        "$(id).drv",
        "-n",
        "*",
    ],
)
def test_a_hostile_derivation_writes_nothing_outside_the_queue(queue: Queue, shell: list[str], drv: str) -> None:
    root = queue.directory.parents[2]
    before = sorted(path for path in root.rglob("*") if path.parent != queue.new)
    run(queue, shell, {"DRV_PATH": drv, "OUT_PATHS": OUT})
    after = sorted(path for path in root.rglob("*") if path.parent not in {queue.new, queue.roots})
    assert after == [path for path in before if path.parent != queue.roots]
    assert queue.take() == []


def test_a_hostile_environment_changes_nothing(queue: Queue, shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "env").write_text(f"touch {tmp_path}/owned\n")
    hostile = {
        "IFS": "/",
        "ENV": str(tmp_path / "env"),
        "BASH_ENV": str(tmp_path / "env"),
        "PATH": "/nonexistent",
        "SHELLOPTS": "xtrace",
        "BASH_FUNC_printf%%": f"() {{ touch {tmp_path}/owned; }}",
        "jobs": "/tmp",
        "roots": "/tmp",
        "DRV_PATH": DRV,
        "OUT_PATHS": f"{OUT} *",
    }
    if Path(shell[0]).name == "bash":
        hostile.pop("SHELLOPTS")  # bash then traces before the first line of any script
    if Path(shell[0]).name == "mksh":
        hostile["PATH"] = "/usr/bin"  # the only one here without a printf of its own
    run(queue, shell, hostile)
    (entry,) = queue.take()
    assert entry.outputs == (OUT, "*")
    assert not (tmp_path / "owned").exists()


def test_directories_with_odd_names(tmp_path: Path, shell: list[str]) -> None:
    odd = tmp_path / "it's a $(queue)"
    made = Queue(odd / "jobs/one/queue")
    made.create()
    hook.install(tmp_path / "hook", jobs=odd / "jobs", roots=odd / "roots")
    done = subprocess.run([*shell, str(tmp_path / "hook")], env={"DRV_PATH": DRV, "OUT_PATHS": OUT}, check=False)
    assert done.returncode == 0
    assert len(made.take()) == 1
