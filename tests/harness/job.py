"""The driver of the command line in all tests, and the machines that a job may find: with or without a Nix."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import MakeMachine
from tests.harness import nix, product
from tests.harness.binary_cache import name_of
from tests.harness.commands import Completed, Process
from tests.harness.machine import PATH, Machine
from tests.harness.release import release
from tests.harness.roots import RECENT, Generation

PROFILE = "/nix/var/nix/profiles/default/bin"
STATE = "/var/lib/nix-autocache"
UPLOADER = "nix_autocache.uploader.process.main"
READ_PROXY = "nix_autocache.uploader.read_proxy.main"
BUILD = """derivation {{
  name = "{name}"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo {name} >$out" ];
}}"""


@dataclass(frozen=True)
class Job:
    """The command line on one machine, for one job of one user.

    `name` makes it a job of GitHub's host and tells it from others, as the runs of a CI host are.
    """

    machine: Machine
    user: str = "root"
    inputs: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    umask: str = ""

    def environment(self) -> dict[str, str]:
        inputs = {f"NIX_AUTOCACHE_{name.upper().replace('-', '_')}": value for name, value in self.inputs.items()}
        host = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_JOB": self.name} if self.name else {}
        return {"PATH": f"{PROFILE}:{PATH}", **product.environment(), **inputs, **host, **self.env}

    def run(self, *words: str, check: bool = True, timeout: float = 60.0) -> Completed:
        command = [*self._with_umask(), *product.CLI, *words]
        return self.machine.run(command, user=self.user, env=self.environment(), check=check, timeout=timeout)

    def start(self, *words: str) -> Process:
        """`run` in the background."""
        return self.machine.start([*product.CLI, *words], user=self.user, env=self.environment())

    def _with_umask(self) -> Sequence[str]:
        """A step's umask may differ from the one that we were started with, as in a container's image."""
        return ("sh", "-c", 'umask "$0"; exec "$@"', self.umask) if self.umask else ()

    def said(self, *words: str, check: bool = True) -> str:
        """Everything that it prints."""
        done = self.run(*words, check=check)
        return done.stdout + done.stderr

    def keygen(self, name: str = "test-1") -> str:
        """A new secret key, as `NAME:BASE64`."""
        return self.run("keygen", name).stdout.strip()

    def doctor(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.run("doctor", "--json").stdout)
        return facts

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return answer

    def set_up(self, mode: str) -> str:
        """Runs `setup`, which must choose this mode, and the row that `doctor` named; all that it said."""
        facts = self.doctor()
        said = self.said("setup")
        assert facts["mode"] == mode, facts
        assert f"mode {mode}: {facts['found']} (" in said, said
        return said

    def sh(self, script: str, check: bool = True) -> Completed:
        """A later step of the job."""
        return self.machine.sh(script, user=self.user, env=self.environment(), check=check)

    def build(self, name: str) -> str:
        """Builds something of that name; its store path."""
        return self.sh(f"nix-build --no-out-link --expr '{BUILD.format(name=name)}'").stdout.strip()

    def cached(self) -> str:
        """The store paths in the embedded cache, one a line."""
        home = "/root" if self.user == "root" else f"/home/{self.user}"
        infos = f"{home}/.local/share/nix-autocache/cache/*.narinfo"
        return self.machine.sh(f"grep -hs ^StorePath: {infos} || true").stdout

    def directory(self) -> str:
        """The job's directory in our state; for machines with one job."""
        return self.machine.sh(f"echo {STATE}/jobs/*").stdout.strip()

    def outcomes(self) -> dict[str, str]:
        """The outcome of each path, by its name after the hash."""
        rows = [json.loads(line) for line in self.machine.read(f"{self.directory()}/queue/outcomes.jsonl").splitlines()]
        return {name_of(row["path"]): row["outcome"] for row in rows}

    def uploaders(self) -> list[int]:
        """The process numbers of the machine's uploaders."""
        return [each.pid for each in self.machine.processes() if UPLOADER in each.argv]

    def kill_uploader(self) -> None:
        """As a GitLab runner does when `script` ends: at once, with no chance to say anything."""
        self.signal_uploader("KILL")

    def kill_read_proxy(self) -> None:
        """Nobody starts it again if the uploader was killed before."""
        for each in self.machine.processes():
            if READ_PROXY in each.argv:
                self.machine.run(["kill", "-KILL", str(each.pid)])

    def peak(self, program: str) -> float:
        """MB of memory that the machine's processes of a program, UPLOADER or READ_PROXY, have used at most."""
        pids = [each.pid for each in self.machine.processes() if program in each.argv]
        assert pids, f"{program} runs"
        texts = [self.machine.read(f"/proc/{pid}/status") for pid in pids]
        return sum(float(text.partition("VmHWM:")[2].split()[0]) for text in texts) / 1000

    def signal_uploader(self, name: str) -> None:
        for pid in self.uploaders():
            self.machine.run(["kill", f"-{name}", str(pid)])


def bare(
    machine: MakeMachine, generation: Generation = RECENT, user: str = "root", sudo: bool = False, name: str = ""
) -> Job:
    """A machine that never had Nix, for a job of that user which is to install the generation's release."""
    tarball = release(generation)
    made = machine(generation, [*product.binds(), tarball.bind()], nix=False)
    # No other cache is tried, and a release made from Debian's Nix has no shell in its sandbox.
    made.write("/etc/nix/nix.conf", nix.CONFIG)
    return _job(made, user, sudo, {"nix-url": tarball.url(), "nix-sha256": tarball.sha256}, name)


def debian(machine: MakeMachine, generation: Generation, user: str = "root", sudo: bool = False) -> Job:
    """A machine with Debian's Nix, as its package leaves it."""
    return _job(machine(generation, product.binds()), user, sudo, {}, "")


def _job(machine: Machine, user: str, sudo: bool, inputs: Mapping[str, str], name: str) -> Job:
    if user != "root":
        machine.add_user(user, sudo=sudo)
        # The tool cache is root's: its environment must be there before others look.
        Job(machine).run("--version")
    return Job(machine, user, inputs, name=name)
