"""Root's processes that outlive set-up import nothing that the job's user can write, whatever happens to them."""

from pathlib import Path

from tests.harness import sealing, tools
from tests.harness.job import Job
from tests.harness.machine import Machine

ACTION = "/home/runner/action"
SOCKETS = "/nix/var/nix/daemon-socket"
# Python imports these for an error that nobody catches, for a warning, and at an exit.
LATE = ("traceback", "linecache", "tokenize", "warnings", "contextlib", "atexit", "ctypes", "socket", "runpy")
PROOF = 'open("/tmp/proof", "a").write(f"{__name__} {__import__(\'os\').getuid()}\\n")\n'


def action_of_the_user(machine: Machine) -> None:
    """The action's own directory belongs to the job's user, and anybody can use up the file system of the socket."""
    machine.sh(f"pkill nix-daemon; rm -rf {SOCKETS}; cp -r {tools.TARGET} {ACTION}; chown -R runner: {ACTION}")
    machine.sh("mount -t tmpfs -o nr_inodes=500,mode=755 none /mnt; mkdir -m 755 /mnt/socket; mkdir -m 1777 /mnt/open")
    machine.sh(f"mkdir -p {SOCKETS}; mount --bind /mnt/socket {SOCKETS}")


def test_what_the_job_puts_beside_the_action_is_not_run_as_root(tmp_path: Path) -> None:
    with sealing.job(tmp_path, prepare=action_of_the_user) as made:
        machine = made.machine
        job = Job(machine, "runner", made.job.inputs, env={"PYTHONPATH": f"{ACTION}/src"})
        assert sealing.SOLVED in job.said("setup")
        job.build("something")
        machine.write("/tmp/proof", "", mode=0o666)
        for name in LATE:
            machine.write(f"{ACTION}/src/{name}.py", PROOF, owner="runner")
            machine.write(f"/home/runner/{name}.py", PROOF, owner="runner")
        machine.sh("i=0; while : >/mnt/open/$i; do i=$((i+1)); done", user="runner", check=False)
        other = Job(machine, inputs={"cache": "/tmp/other"}, name="other")
        assert "Traceback" not in other.said("setup", check=False)
        assert job.build("after-the-restart")
        other.run("undo", check=False)
        assert machine.read("/tmp/proof") == ""
        assert "Traceback" not in machine.sh("cat /var/lib/nix-autocache/*.log || true").stdout


def test_no_process_of_root_has_a_path_of_the_job_to_import_from(tmp_path: Path) -> None:
    with sealing.job(tmp_path, prepare=action_of_the_user) as made:
        machine = made.machine
        Job(machine, "runner", made.job.inputs, env={"PYTHONPATH": f"{ACTION}/src"}).run("setup")
        ours = [each for each in machine.processes() if each.user == "root" and "nix_autocache" in " ".join(each.argv)]
        assert ours, "the supervisor of the daemon lives"
        for process in ours:
            assert "-I" in process.argv, process
            assert not any(word.startswith(("/home/runner", tools.TARGET)) for word in process.argv), process


def test_the_uploader_can_write_nothing_that_it_imports(tmp_path: Path) -> None:
    """Or code that once ran as its user, by whatever way, would read the key of the next job."""
    with sealing.sealed(tmp_path) as made:
        program = "/var/lib/nix-autocache/program"
        uploader = next(each for each in made.machine.processes() if each.pid == made.uploader())
        assert uploader.user == "nix-autocache"
        writable = f"find / -xdev -name proc -prune -o ! -type l -writable -path '*{program}*' -print"
        assert made.machine.sh(writable, user="nix-autocache", check=False).stdout == ""
        assert made.machine.sh(f"find {program} ! -user root").stdout == ""
        assert made.machine.sh(f"find {program} -name 'drain.*.pyc'").stdout.count("drain") == 1
        made.job.build("something")
        assert "1 pushed" in made.job.said("finish")
