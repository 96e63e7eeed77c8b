"""The cost of setup: a multi-user Nix against unpacking its release alone, and a Nix that is already there."""

from tests.bench.measure import in_turn, rounds, verdict
from tests.harness import nix, product, roots
from tests.harness.commands import Completed
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.release import Release, release

ROUNDS = 5
GENERATION = roots.NEW


def main() -> None:
    tarball = release(GENERATION)
    with Machine(roots.root(GENERATION), [*product.binds(), tarball.bind()]) as machine:
        machine.remove_nix()
        inputs = {"nix-url": tarball.url(), "nix-sha256": tarball.sha256}
        job = Job(machine, inputs=inputs)
        job.run("--version")  # makes the environment
        figures = in_turn(
            {"tar and xz": lambda: unpack(machine, tarball), "install": lambda: install(job)}, rounds(ROUNDS)
        )
    figures.show(f"a release of {tarball.path.stat().st_size / 1e6:.0f} MB, Nix {tarball.version}")
    print(f"  of a whole set-up with it: {set_up_alone(tarball):.2f} s")
    verdict(
        "a multi-user installation against tar and xz", figures.median("install") / figures.median("tar and xz"), 1.5
    )
    existing()


def existing() -> None:
    """A set-up where Nix and the environment are there, with sudo and a daemon: the most that can be to do."""
    with Machine(roots.root(GENERATION), product.binds()) as machine:
        machine.add_user("runner", sudo=True)
        Job(machine).run("--version")
        nix.with_daemon(machine)
        job = Job(machine, user="runner")

        def once() -> float:
            seconds = job.run("setup").seconds
            job.run("undo")
            return seconds

        figures = in_turn({"setup": once}, rounds(ROUNDS))
    figures.show("setting up where Nix is there, canary included")
    verdict("a set-up with sudo and a daemon, seconds", figures.median("setup"), 1.0)


def unpack(machine: Machine, tarball: Release) -> float:
    done = machine.sh(f"mkdir /nix; cd /nix; tar -xJf {tarball.bind().target}")
    machine.sh("chmod -R u+w /nix; rm -rf /nix")
    return done.seconds


def install(job: Job) -> float:
    """The whole step that root runs: users, download, hash, unpacking, registering."""
    done = step(job)
    job.run("undo")
    return done.seconds


def step(job: Job) -> Completed:
    request = (
        f'{{"environ": {{}}, "request": {{"url": "{job.inputs["nix-url"]}", "sha256": "{job.inputs["nix-sha256"]}"}}}}'
    )
    command = ["python3", "-sSP", "-m", "nix_autocache.machine.root_helper", "install"]
    return job.machine.run(command, env=product.environment(), stdin=request)


def set_up_alone(tarball: Release) -> float:
    with Machine(roots.root(GENERATION), [*product.binds(), tarball.bind()]) as machine:
        machine.remove_nix()
        job = Job(machine, inputs={"nix-url": tarball.url(), "nix-sha256": tarball.sha256})
        return job.run("setup").seconds


if __name__ == "__main__":
    main()
