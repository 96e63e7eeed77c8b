"""nix-autocache itself in a machine, as the action and the GitLab template run it, with its packages at hand.

Packages are installed from a lock's wheels into a tool cache that all machines share, so that only the first
machine of a Python pays for it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness import cache, tools, wheels
from tests.harness.commands import Completed, Process
from tests.harness.machine import Bind, Machine

LOCKS = [tools.PROJECT / "requirements" / name for name in ("base.txt", "aws.txt")]
TOOL_CACHE = "/opt/tool-cache"
DATA = "/root/.local/share/nix-autocache"
CLI = ("python3", "-sP", "-m", "nix_autocache.cli.bootstrap")


def binds(data: Path | None = None) -> list[Bind]:
    """What a machine needs; with `data`, the embedded default's cache and key are kept there."""
    kept = [Bind(data, DATA, writable=True)] if data else []
    shared = cache.directory() / "tool-cache"
    shared.mkdir(parents=True, exist_ok=True)
    return [*tools.project(), wheels.wheelhouse(LOCKS).bind(), Bind(shared, TOOL_CACHE, writable=True), *kept]


def environment() -> dict[str, str]:
    return {
        "PYTHONPATH": f"{tools.TARGET}/src",
        "PYTHONPYCACHEPREFIX": f"{TOOL_CACHE}/nix-autocache/bytecode",
        "RUNNER_TOOL_CACHE": TOOL_CACHE,
        **wheels.wheelhouse(LOCKS).env(),
    }


@dataclass(frozen=True)
class Tool:
    """The command line on one machine, with the inputs and variables of one job."""

    machine: Machine
    inputs: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = "root"

    def run(self, *arguments: str, check: bool = True, timeout: float = 60.0) -> Completed:
        env = self._environment()
        return self.machine.run([*CLI, *arguments], env=env, user=self.user, check=check, timeout=timeout)

    def start(self, *arguments: str) -> Process:
        """`run` in the background."""
        return self.machine.start([*CLI, *arguments], env=self._environment(), user=self.user)

    def _environment(self) -> dict[str, str]:
        inputs = {f"NIX_AUTOCACHE_{name.upper().replace('-', '_')}": value for name, value in self.inputs.items()}
        return {**environment(), **inputs, **self.env}

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return answer

    def job(self) -> str:
        """The directory of this job; there is one in most tests."""
        return self.machine.sh("echo /var/lib/nix-autocache/jobs/*").stdout.strip()

    def kill_uploader(self) -> None:
        """As a GitLab runner does when `script` ends: at once, with no chance to say anything."""
        self.signal_uploader("KILL")

    def signal_uploader(self, name: str) -> None:
        for process in self.machine.processes():
            if any("uploader.process.main" in word for word in process.argv):
                self.machine.run(["kill", f"-{name}", str(process.pid)])

    def outcomes(self) -> dict[str, str]:
        """What became of each path, by its name after the hash."""
        rows = [json.loads(line) for line in self.machine.read(f"{self.job()}/queue/outcomes.jsonl").splitlines()]
        return {name_of(row["path"]): row["outcome"] for row in rows}


def name_of(path: str) -> str:
    """The name of a store path, after its hash."""
    return path.rpartition("/")[2][33:]


def narinfos(directory: Path) -> dict[str, dict[str, str]]:
    """Every narinfo of a cache kept in a directory, by the name of its path."""
    infos = [parse(path.read_text()) for path in directory.glob("*.narinfo")]
    return {name_of(info["StorePath"]): info for info in infos}


def parse(text: str) -> dict[str, str]:
    parts = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in parts}


def closed(directory: Path) -> Sequence[str]:
    """What is missing from a cache: archives of its narinfos, and narinfos of their references."""
    there = {path.stem for path in directory.glob("*.narinfo")}
    missing = []
    for path in directory.glob("*.narinfo"):
        info = parse(path.read_text())
        missing += [] if (directory / info["URL"]).is_file() else [info["URL"]]
        missing += [base for base in info["References"].split() if base[:32] not in there]
    return missing
