"""nix.conf: read as Nix reads it, restored as it was, and secrets in a file that only root reads."""

import stat
from pathlib import Path

import pytest

from nix_autocache.nix.conf import NixConf

TEXTS = ["", "a = 1\n", "a = 1", "# only a comment", "\n\n", "post-build-hook = /theirs\n!include other\n"]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_nix_conf_is_after_removing_what_it_was_before_writing(tmp_path: Path, text: str) -> None:
    config = NixConf(tmp_path)
    config.main.write_text(text)
    assert config.write(["b = 2"])
    assert not config.write(["b = 2"])
    assert config.write(["b = 3"])
    assert config.remove()
    assert config.main.read_text() == text if text else not config.main.exists()
    assert not config.include.exists()


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_what_others_write_after_our_lines_stays_on_lines_of_its_own(tmp_path: Path, text: str) -> None:
    config = NixConf(tmp_path)
    config.main.write_text(text)
    config.write(["b = 2"])
    with config.main.open("a") as file:
        file.write("c = 3\n")
    config.remove()
    assert config.main.read_text() == text + ("\n" if text and not text.endswith("\n") else "") + "c = 3\n"


def test_a_value_is_the_last_one_of_all_files_but_ours(tmp_path: Path) -> None:
    config = NixConf(tmp_path)
    config.main.write_text("a = 1 # one\ninclude further\n!include missing\nb = x\nextra-b = y z\n")
    (tmp_path / "further").write_text("a = 2\n")
    config.write(["a = ours"])
    assert config.foreign_value("a") == "2"
    assert config.foreign_value("b") == "x y z"
    assert config.foreign_value("c") is None
    (tmp_path / "further").write_text("c = 1\n!include nix.conf\n")
    assert config.foreign_value("c") == "1", "files that include one another are read, but not for ever"


def test_a_file_in_a_store_cannot_be_changed(tmp_path: Path) -> None:
    (tmp_path / "nix.conf").symlink_to("/nix/store/abc-etc/nix.conf")
    assert NixConf(tmp_path).is_fixed
    assert not NixConf(tmp_path / "elsewhere").is_fixed


def test_nobody_else_can_read_a_secret_whatever_lay_there(tmp_path: Path) -> None:
    config = NixConf(tmp_path)
    config.secret_include.write_text("planted")
    config.secret_include.chmod(0o666)
    assert config.write(["max-jobs = 1", "extra-substituters = https://u:p@a"])
    assert not config.write(["max-jobs = 1", "extra-substituters = https://u:p@a"])
    assert "u:p" not in config.include.read_text()
    assert "u:p" in config.secret_include.read_text()
    assert stat.S_IMODE(config.secret_include.stat().st_mode) == 0o600
    assert config.write(["max-jobs = 1", "extra-substituters = https://u:other@a"])
    assert config.write(["max-jobs = 1"])
    assert not config.secret_include.exists()
    config.write(["extra-substituters = https://u:p@a"])
    config.remove()
    assert list(tmp_path.iterdir()) == []
