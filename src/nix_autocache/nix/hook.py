"""The post-build hook put in its place, and a canary built to see that Nix calls it.

The hook's text is `hook.sh`; this only fills in its two directories.
"""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import time
from pathlib import Path
from typing import Final

from ..errors import RunnerError
from ..queue import CANARY, Queue
from .store import Nix

_SOURCE: Final = Path(__file__).with_name("hook.sh")
_PATIENCE: Final = 10.0  # seconds between the canary's end and its entry: Nix before 2.19 calls the hook at once

# No program, no input, no substituter is asked: it builds wherever Nix builds at all, in some 60 ms.
_CANARY: Final = """
derivation {
  name = "%s-%s";
  system = builtins.currentSystem;
  builder = "builtin:buildenv";
  derivations = [ ];
  manifest = builtins.toFile "manifest" "";
  allowSubstitutes = false;
  preferLocalBuild = true;
}
"""


def install(place: Path, *, jobs: Path, roots: Path) -> None:
    """Write the hook to `place`, for the queues in `jobs/*/queue`; roots go to `roots/<job>/`."""
    text = _SOURCE.read_text(encoding="ascii")
    text = text.replace("@jobs@", shlex.quote(str(jobs))).replace("@roots@", shlex.quote(str(roots)))
    fresh = place.with_suffix(f".{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o755)
    fresh.rename(place)


def sing(nix: Nix, queue: Queue) -> bool:
    """Build a canary and look for it in the queue; whether the hook fired. Raises RunnerError if Nix cannot build."""
    nonce = secrets.token_hex(8)
    command = [nix.program("nix-build"), "--no-out-link", "--expr", _CANARY % (CANARY, nonce)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()[-1:]
        raise RunnerError(f"Nix cannot build here: {' '.join(reason) or 'nix-build said nothing'}")
    deadline = time.monotonic() + _PATIENCE
    while not queue.take_canary(nonce):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
