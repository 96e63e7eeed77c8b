"""The daemon under launchd, with a stand-in for launchctl."""

from pathlib import Path

import pytest

from nix_autocache.errors import RunnerError
from nix_autocache.nix.daemon import launchd

UNKNOWN = """echo "Could not find service \\"${3#system/}\\" in domain for system" >&2; exit 113"""


@pytest.fixture
def launchctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file for the stand-in; it is the only program on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "launchctl"


def answers(launchctl: Path, script: str) -> None:
    launchctl.write_text(f'#!/bin/sh\necho "$@" >>{launchctl.parent}/called\n{script}\n')
    launchctl.chmod(0o755)


def test_launchd_restarts_the_daemon_of_either_installer(launchctl: Path) -> None:
    answers(launchctl, f"[ $3 = system/systems.determinate.nix-daemon ] || {{ {UNKNOWN}; }}")
    launchd.restart()
    assert (launchctl.parent / "called").read_text().splitlines() == [
        "kickstart -k system/org.nixos.nix-daemon",
        "kickstart -k system/systems.determinate.nix-daemon",
    ]


def test_a_service_that_may_not_be_restarted_is_named_with_the_reason(launchctl: Path) -> None:
    refusal = "Could not kickstart service: 1: Operation not permitted"
    answers(
        launchctl, f"[ $3 = system/systems.determinate.nix-daemon ] || {{ {UNKNOWN}; }}; echo '{refusal}' >&2; exit 1"
    )
    with pytest.raises(
        RunnerError, match=r"cannot restart system/systems\.determinate\.nix-daemon: Could not kickstart"
    ):
        launchd.restart()


def test_a_mac_without_a_daemon_is_told_what_was_looked_for(launchctl: Path) -> None:
    answers(launchctl, UNKNOWN)
    with pytest.raises(RunnerError, match=r"neither system/org\.nixos\.nix-daemon nor system/systems\.determinate"):
        launchd.restart()


def test_a_machine_without_launchctl_says_so(launchctl: Path) -> None:
    with pytest.raises(RunnerError, match="No such file or directory: 'launchctl'"):
        launchd.restart()
