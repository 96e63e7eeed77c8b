"""The post-build hook put in its place, and a canary built to see that Nix calls it.

The hook's text is `hook.sh`; this only fills in its two directories.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..nix.store import Nix
from ..system.files import write_atomically
from ..system.process import run, wait_until
from .directory import CANARY, Queue

SETTING: Final = "post-build-hook"  # of nix.conf
_UNREACHABLE: Final = "cannot connect to"
_SOURCE: Final = Path(__file__).with_name("hook.sh")
_REACHABLE: Final = 10.0  # seconds that a daemon may take to be there again
_PATIENCE: Final = 3.0  # seconds between the canary's end and its entry: Nix up to 2.34 has called the hook by then

# No program, no input, no substituter is asked: it builds wherever Nix builds at all, in some 60 ms.
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


def install(place: Path, *, jobs: Path, roots: Path, others: Iterable[str] = ()) -> None:
    """Write the hook to `place`, for the queues in `jobs/*/queue`; roots go to `roots/<job>/`.

    `others` are hooks that somebody else configured, which ours calls.
    """
    text = _SOURCE.read_text(encoding="ascii")
    words = {"@jobs@": [str(jobs)], "@roots@": [str(roots)], "@others@": list(dict.fromkeys(others))}
    for name, values in words.items():
        text = text.replace(name, shlex.join(values))
    write_atomically(place, text, 0o755, (os.geteuid(), os.getegid()))


def obstacle(place: Path) -> str:
    """Why Nix could not run a hook in that place; empty where nothing is known against it."""
    if "#" in str(place) or str(place) != " ".join(str(place).split()):
        return f"nix.conf cannot name a hook in {place.parent}"
    there = next(parent for parent in place.parents if parent.exists())
    if os.statvfs(there).f_flag & os.ST_NOEXEC:
        return f"no program runs from {there}, which is mounted noexec, nor does the hook"
    return ""


@dataclass(frozen=True)
class Canary:
    """What became of a build that was made only to see it: whether the hook told of it, whether it went into a store
    that is not this machine's, and Nix's error."""

    heard: bool
    elsewhere: bool = False
    error: str = ""


def try_canary(nix: Nix, queue: Queue, environ: Mapping[str, str]) -> Canary:
    """Build a canary and look for it in the queue."""
    nonce = os.urandom(8).hex()
    # A job may have `max-jobs = 0`: it builds elsewhere or not at all, but this takes no time.
    options = ["--no-out-link", "--max-jobs", "1"]
    command = [nix.program("nix-build"), *options, "--expr", _CANARY % (CANARY, nonce, CANARY)]
    deadline = time.monotonic() + _REACHABLE
    while (done := run(command, environ=environ)).status and _UNREACHABLE in done.error:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)  # another job has the daemon restarted
    if done.status and (again := run(command, environ=environ)).status == 0:
        done = again  # a build ends well although its hook could not be run
    if done.status:
        lines = [line.strip() for line in done.error.splitlines() if "error" in line]
        return Canary(heard=False, error=f"Nix cannot build here: {' '.join(lines) or done.reason}")
    output = done.output.strip()
    elsewhere = not (output.startswith(f"{nix.store_dir}/") and os.path.lexists(output))
    return Canary(wait_until(lambda: queue.take_canary(nonce), 0.0 if elsewhere else _PATIENCE), elsewhere)


def forget_canaries(nix: Nix) -> None:
    """Take the canaries of all set-ups out of the store again, as far as Nix lets this user."""
    canaries = [str(path) for path in Path(nix.store_dir).glob(f"*-{CANARY}-*") if path.suffix != ".lock"]
    if canaries:
        run([nix.program("nix-store"), "--delete", *canaries])
