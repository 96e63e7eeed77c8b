"""A process that hangs is found by its silence."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from nix_autocache.system import watchdog
from nix_autocache.system.watchdog import Pulse
from tests.harness.waiting import wait_for
from tests.harness.watched import US, start


def test_a_process_that_hangs_is_heard_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy, now = tmp_path / "healthy", [0.0]
    healthy.touch()
    monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with Pulse(tmp_path / "notify", US, interval=1.0) as pulse, start(pulse, healthy) as process:
        for _ in range(3):
            now[0] += 2.0
            wait_for(lambda: not pulse.lost(), "another sign of life")
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        pulse.lost()
        now[0] += 2.0
        assert pulse.lost()
        process.kill()
