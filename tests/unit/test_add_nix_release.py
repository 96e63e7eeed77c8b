"""tools/add_nix_release.py against a publisher of its own: all systems of a release are added, or nothing is."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tools import add_nix_release

from nix_autocache.nix.install.release import HASHES, SYSTEMS, tarball_name
from tests.harness import background

VERSION = "9.10.1"
FOUND = {tarball_name(VERSION, system): f"{number}" * 64 for number, system in enumerate(SYSTEMS)}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[str]:
    """The base URL of a publisher of one release; its files are in `served`."""
    release = tmp_path / "served" / f"nix-{VERSION}"
    release.mkdir(parents=True)
    for name, sha256 in FOUND.items():
        (release / f"{name}.sha256").write_text(sha256)  # theirs ends without a line break
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "served"))
    with background.serving(server):
        yield f"http://127.0.0.1:{server.server_port}/"


def test_a_release_is_added_for_every_system_before_the_older_ones(publisher: str, tmp_path: Path) -> None:
    assert add_nix_release.main(VERSION, publisher, file=tmp_path / "file") == 0
    lines = (tmp_path / "file").read_text().splitlines()
    assert {line.split()[1]: line.split()[0] for line in lines[: len(FOUND)]} == FOUND
    assert lines[len(FOUND) :] == HASHES.read_text().splitlines(), "what was known stays, in its order"


@pytest.mark.parametrize("damage", ["gone", "<html>no such file</html>", ""])
def test_a_release_that_lacks_a_hash_is_not_added(
    publisher: str, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = next((tmp_path / "served").rglob(f"*{SYSTEMS[-1]}*"))
    file.unlink() if damage == "gone" else file.write_text(damage)
    assert add_nix_release.main(VERSION, publisher, file=tmp_path / "file") == 1
    assert not (tmp_path / "file").exists()
    assert SYSTEMS[-1] in capsys.readouterr().err


def test_a_publisher_who_contradicts_a_known_hash_changes_nothing(
    publisher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = dict.fromkeys(FOUND, "f" * 64)
    monkeypatch.setattr(add_nix_release, "known_hashes", lambda: known)
    assert add_nix_release.main(VERSION, publisher, file=tmp_path / "file") == 1
    assert not (tmp_path / "file").exists()
    assert "find out who is right" in capsys.readouterr().err


def test_what_is_no_version_is_asked_of_nobody(tmp_path: Path) -> None:
    assert add_nix_release.main("latest", "http://127.0.0.1:9", file=tmp_path / "file") == 1
