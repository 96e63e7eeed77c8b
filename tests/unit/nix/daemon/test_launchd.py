"""The daemon under launchd."""

from pathlib import Path

import pytest

from nix_autocache.errors import RunnerError
from nix_autocache.nix.daemon import launchd


def test_launchd_restarts_the_daemon_of_either_installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "launchctl"
    fake.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/called\n[ "$3" = system/systems.determinate.nix-daemon ]\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    launchd.restart()
    assert (tmp_path / "called").read_text().splitlines() == [
        "kickstart -k system/org.nixos.nix-daemon",
        "kickstart -k system/systems.determinate.nix-daemon",
    ]
    fake.write_text("#!/bin/sh\necho no such service >&2\nexit 1\n")
    with pytest.raises(RunnerError, match="no such service"):
        launchd.restart()
