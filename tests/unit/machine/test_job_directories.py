"""When this machine was booted, as Linux and macOS say it."""

import sys
import time
from pathlib import Path

import pytest

from nix_autocache.machine import job_directories


def test_linux_says_when_it_was_booted() -> None:
    assert 0 < job_directories.boot_time() <= time.time()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("{ sec = 1764167000, usec = 81 } Wed Nov 26 14:23:20 2025", 1764167000.0),
        ("sysctl: unknown oid 'kern.boottime'", 0.0),
        ("", 0.0),
    ],
)
def test_macos_says_when_it_was_booted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, expected: float
) -> None:
    (tmp_path / "sysctl").write_text(f'#!/bin/sh\n[ "$*" = "-n kern.boottime" ] && echo "{said}"\n')
    (tmp_path / "sysctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert job_directories.boot_time() == expected
