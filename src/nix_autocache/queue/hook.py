"""Installs the post-build hook, `hook.sh`, and builds a canary to prove that Nix calls it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ..nix.store import Nix
from ..system.dataclass import dataclass
from ..system.files import write_atomically
from ..system.probe import forbids_programs
from ..system.process import Finished, run, wait_until
from .directory import Queue
from .entry import CANARY

SETTING: Final = "post-build-hook"  # of nix.conf
_UNREACHABLE: Final = "cannot connect to"  # in the error of Nix
_SOURCE: Final = Path(__file__).with_name("hook.sh")
_REACHABLE: Final = 10.0  # seconds for a daemon that is being restarted
_PATIENCE: Final = 3.0  # seconds between the canary's end and its entry: Nix up to 2.34 has called the hook by then

# It needs no program, no input and no substituter, so it builds wherever Nix builds at all, in about 60 ms.
_CANARY: Final = """
derivation {
  name = "%s-%s";
  system = builtins.currentSystem;
  builder = "builtin:buildenv";
  derivations = [ ];
  manifest = builtins.toFile "%s-manifest" "";
  allowSubstitutes = false;
  preferLocalBuild = true;
}
"""


def install(target: Path, *, jobs: Path, roots: Path, others: Iterable[str] = ()) -> None:
    """Write the hook to `target`, for the queues in `jobs/*/queue`, with roots in `roots/<job>/`.

    `others` are hooks of other configurations, which ours calls.
    """
    text = _SOURCE.read_text(encoding="utf-8")
    words = {"@jobs@": [str(jobs)], "@roots@": [str(roots)], "@others@": list(dict.fromkeys(others))}
    for name, values in words.items():
        text = text.replace(name, shlex.join(values))
    write_atomically(target, text, 0o755, (os.geteuid(), os.getegid()))


def obstacle(target: Path) -> str:
    """The reason why Nix could not run a hook at this path; empty if none is known."""
    if "#" in str(target) or str(target) != " ".join(str(target).split()):
        return f"nix.conf cannot name a hook in {target.parent}"
    there = next(parent for parent in target.parents if parent.exists())
    if forbids_programs(there):
        return f"{there} is mounted noexec, so the hook cannot run there"
    return ""


@dataclass(frozen=True)
class Canary:
    """The result of the canary's build. `heard`: the hook wrote its entry. `elsewhere`: Nix built it into the store of
    another machine. `error`: Nix could not build it."""

    heard: bool
    elsewhere: bool = False
    error: str = ""


def try_canary(nix: Nix, queue: Queue, environ: Mapping[str, str]) -> Canary:
    """Build a canary and look for it in the queue."""
    nonce = os.urandom(8).hex()
    # A job may set `max-jobs = 0` to build elsewhere or not at all. The canary builds here all the same.
    options = ["--no-out-link", "--max-jobs", "1"]
    command = [nix.program("nix-build"), *options, "--expr", _CANARY % (CANARY, nonce, CANARY)]
    builds: list[Finished] = []

    def is_reached() -> bool:
        builds.append(run(command, environ=environ))
        return not builds[-1].status or _UNREACHABLE not in builds[-1].error

    wait_until(is_reached, _REACHABLE, poll=0.05)  # another job may be restarting the daemon
    done = builds[-1]
    if done.status and (again := run(command, environ=environ)).status == 0:
        done = again  # a build succeeds even if its hook could not run
    if done.status:
        lines = [line.strip() for line in done.error.splitlines() if "error" in line]
        return Canary(heard=False, error=f"Nix cannot build here: {' '.join(lines) or done.reason}")
    output = done.output.strip()
    elsewhere = not (output.startswith(f"{nix.store_dir}/") and os.path.lexists(output))
    return Canary(wait_until(lambda: queue.take_canary(nonce), 0.0 if elsewhere else _PATIENCE), elsewhere)


def forget_canaries(nix: Nix) -> None:
    """Delete all canaries from the store, as far as Nix lets this user."""
    canaries = [str(path) for path in Path(nix.store_dir).glob(f"*-{CANARY}-*") if path.suffix != ".lock"]
    if canaries:
        run([nix.program("nix-store"), "--delete", *canaries])
