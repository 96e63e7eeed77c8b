"""The keeper of a managed machine's uploader ends one that hangs."""

import signal
from pathlib import Path

import pytest

from nix_autocache.machine.managed.keeper import _Keeper
from nix_autocache.machine.paths import machine
from nix_autocache.system.watchdog import Pulse
from tests.harness.watched import US, start


@pytest.mark.slow
def test_a_keeper_ends_a_process_whose_work_hangs(tmp_path: Path) -> None:
    healthy = tmp_path / "healthy"
    healthy.touch()
    keeper = _Keeper([], machine({}))
    with Pulse(tmp_path / "notify", US, interval=0.5) as pulse, start(pulse, healthy) as process:
        healthy.unlink()
        assert keeper._watch(process, pulse) == -signal.SIGKILL
