"""The include file: the lines of all jobs, in an order in which Nix heeds each of them, and the hooks of others."""

from pathlib import Path

import pytest

from nix_autocache.machine import include_file
from nix_autocache.machine.paths import Paths
from tests.harness.machine_paths import paths_in

OURS = "/state/hook"
SET = f"post-build-hook = {OURS}"


@pytest.mark.parametrize(
    ("parts", "lines", "others"),
    [
        (["a = 1\n", "a = 1\nb = 2\n"], ["a = 1", "b = 2"], []),
        (["extra-a = 1\n", "a = 2\n"], ["a = 2", "extra-a = 1"], []),
        (["post-build-hook = /theirs\n"], ["post-build-hook = /theirs"], []),
        ([f"{SET}\n", "post-build-hook = /theirs # mine\n"], [SET], ["/theirs"]),
        (["post-build-hook =\n", f"{SET}\n"], [SET], []),
        (["# post-build-hook = /theirs\n", f"{SET}\n"], ["# post-build-hook = /theirs", SET], []),
        ([], [], []),
    ],
)
def test_lines_of_all_jobs_become_one_list(parts: list[str], lines: list[str], others: list[str]) -> None:
    assert include_file.merge(parts, OURS) == (lines, others)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = paths_in(tmp_path)
    found.state.mkdir(parents=True)
    found.nix_conf.mkdir(parents=True)
    return found


@pytest.mark.parametrize("text", ["max-jobs = 3\n", "max-jobs = 3"])
def test_nix_conf_is_what_it_was_when_the_last_part_is_gone(paths: Paths, text: str) -> None:
    paths.conf_file.write_text(text)
    include_file.write_part(paths, "one", ["cores = 2", f"post-build-hook = {paths.hook}"])
    assert include_file.render(paths, private=False)
    assert not include_file.render(paths, private=False)
    assert include_file.sets_hook(paths)
    assert "cores = 2" in paths.config.include.read_text()
    (paths.parts / "one").unlink()
    assert include_file.render(paths, private=False)
    assert include_file.is_empty(paths)
    assert paths.conf_file.read_text() == text
    assert not paths.config.include.exists()


def test_the_hook_calls_the_one_that_was_configured_before(paths: Paths) -> None:
    paths.conf_file.write_text("post-build-hook = /opt/before\n")
    include_file.write_part(paths, "one", [f"post-build-hook = {paths.hook}", "post-build-hook = /opt/user"])
    include_file.render(paths, private=False)
    text = paths.hook.read_text()
    assert "set -- /opt/before /opt/user" in text
    assert str(paths.jobs) in text


@pytest.mark.parametrize("private", [True, False])
def test_a_private_file_is_hidden_from_other_users(paths: Paths, private: bool) -> None:
    include_file.write_part(paths, "one", ["cores = 2"])
    include_file.render(paths, private=private)
    assert include_file.is_private(paths) is private
    assert (paths.parts / "one").stat().st_mode & 0o777 == 0o600


def test_a_nix_conf_that_a_variable_named_is_restored_when_it_names_another(tmp_path: Path, paths: Paths) -> None:
    include_file.write_part(paths, "one", ["cores = 2"])
    include_file.render(paths, private=False)
    today = Paths(state=paths.state, nix_conf=tmp_path / "other/nix", roots=paths.roots)
    (paths.parts / "one").unlink()
    assert include_file.render(today, private=False)
    assert not paths.config.include.exists()
