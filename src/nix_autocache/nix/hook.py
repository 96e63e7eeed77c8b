"""The post-build hook put in its place, and a canary built to see that Nix calls it.

The hook's text is `hook.sh`; this only fills in its two directories.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import Final

from ..errors import RunnerError
from ..queue import CANARY, Queue
from ..system.files import write_atomically
from .store import Nix

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


def install(place: Path, *, jobs: Path, roots: Path, others: str = "") -> None:
    """Write the hook to `place`, for the queues in `jobs/*/queue`; roots go to `roots/<job>/`.

    `others` is a hook that was there before, which ours calls; empty if there was none.
    """
    text = _SOURCE.read_text(encoding="ascii")
    for name, value in {"@jobs@": str(jobs), "@roots@": str(roots), "@others@": others}.items():
        text = text.replace(name, shlex.quote(value))
    write_atomically(place, text, 0o755, (os.geteuid(), os.getegid()))


def sing(nix: Nix, queue: Queue) -> bool:
    """Build a canary and look for it in the queue; whether the hook fired. Raises RunnerError if Nix cannot build."""
    nonce = os.urandom(8).hex()
    command = [nix.program("nix-build"), "--no-out-link", "--expr", _CANARY % (CANARY, nonce, CANARY)]
    deadline = time.monotonic() + _REACHABLE
    while (done := _run(command)).returncode and _UNREACHABLE in done.stderr and time.monotonic() < deadline:
        time.sleep(0.05)  # another job has the daemon restarted
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()[-1:]
        raise RunnerError(f"Nix cannot build here: {' '.join(reason) or 'nix-build said nothing'}")
    deadline = time.monotonic() + _PATIENCE
    while not queue.take_canary(nonce):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/", check=False)


def forget_canaries(nix: Nix) -> None:
    """Take the canaries of all set-ups out of the store again, as far as Nix lets this user."""
    canaries = [str(path) for path in Path(nix.store_dir).glob(f"*-{CANARY}-*") if path.suffix != ".lock"]
    if canaries:
        command = [nix.program("nix-store"), "--delete", *canaries]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
