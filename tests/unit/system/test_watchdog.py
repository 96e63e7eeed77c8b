"""A process that hangs is found by its silence, and ended by whoever keeps it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from nix_autocache.machine.managed.keeper import _Keeper
from nix_autocache.machine.paths import machine
from nix_autocache.system.watchdog import Pulse
from tests.harness.waiting import wait_for

US = (os.geteuid(), os.getegid())
# Says that it lives for as long as its argument, a file, is there.
PROGRAM = """
import sys, time
from pathlib import Path
from nix_autocache.system import watchdog
watchdog.begin(lambda: 0.0 if Path(sys.argv[1]).exists() else 100.0)
print("begun", flush=True)
time.sleep(60)
"""


def start(pulse: Pulse, healthy: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", PROGRAM, str(healthy)]
    process = subprocess.Popen(
        words,
        env={**os.environ, **pulse.environment, "WATCHDOG_USEC": "200000"},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout
    assert process.stdout.readline() == b"begun\n"
    return process


def test_a_process_that_hangs_is_heard_no_more(tmp_path: Path) -> None:
    healthy = tmp_path / "healthy"
    healthy.touch()
    with Pulse(tmp_path / "notify", US, interval=1.0) as pulse, start(pulse, healthy) as process:
        begun = time.monotonic()
        wait_for(lambda: pulse.lost() or time.monotonic() - begun > 1.5, "a life that is longer than the interval")
        assert not pulse.lost()
        os.kill(process.pid, signal.SIGSTOP)
        wait_for(pulse.lost, "its silence")
        process.kill()


def test_a_keeper_ends_a_process_whose_work_hangs(tmp_path: Path) -> None:
    healthy = tmp_path / "healthy"
    healthy.touch()
    keeper = _Keeper([], machine({}))
    with Pulse(tmp_path / "notify", US, interval=0.5) as pulse, start(pulse, healthy) as process:
        healthy.unlink()
        assert keeper._watch(process, pulse) == -signal.SIGKILL
