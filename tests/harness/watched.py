"""A process whose life a test watches."""

import os
import subprocess
import sys
from pathlib import Path

from nix_autocache.system.watchdog import Pulse
from tests.harness import programs

US = (os.geteuid(), os.getegid())


def start(pulse: Pulse, healthy: Path) -> subprocess.Popen[bytes]:
    """A process that says to `pulse` that it lives, for as long as the file `healthy` is there."""
    process = subprocess.Popen(
        [sys.executable, "-c", programs.source("watched.py"), str(healthy)],
        env={**os.environ, **pulse.environment, "WATCHDOG_USEC": "200000"},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout
    assert process.stdout.readline() == b"begun\n"
    return process
