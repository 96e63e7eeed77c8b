"""What Nix's own configuration leaves to the job's user: a sentence for each setting, and none for a closed one."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from nix_autocache.nix.store import Nix
from nix_autocache.trust import isolation

HOOK = Path("/var/lib/nix-autocache/hook")
CLOSED = {
    "sandbox": "true",
    "sandbox-fallback": "false",
    "require-sigs": "true",
    "post-build-hook": str(HOOK),
    "substituters": "https://cache.nixos.org/ file:///srv/cache?trusted=false",
    "builders": "ssh://builder@host x86_64-linux",
    "sandbox-paths": "",
    "plugin-files": "",
}
NOT_SANDBOXED = "builds are not always sandboxed, so what runs beside one can change what it makes"


@pytest.fixture
def exposed(tmp_path: Path) -> Callable[..., list[str]]:
    """What is exposed by a Nix with other settings than the closed ones; this machine's own are left out."""

    def nix(settings: dict[str, str], *, trusted: bool) -> list[str]:
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        program = tmp_path / "nix"
        program.write_text(
            "#!/bin/sh\n"
            f'case "$*" in *"store info"*) echo {shlex.quote(json.dumps({"trusted": trusted}))} ;;\n'
            f'*"config show") printf %s {shlex.quote(text)} ;; *) exit 1 ;; esac\n'
        )
        program.chmod(0o755)
        return list(isolation.of_nix(Nix(tmp_path), HOOK))

    def more(trusted: bool = False, **settings: str) -> list[str]:
        usual = nix(CLOSED, trusted=False)
        given = {name.replace("_", "-"): value for name, value in settings.items()}
        return [way for way in nix({**CLOSED, **given}, trusted=trusted) if way not in usual]

    return more


def test_a_closed_nix_leaves_nothing(exposed: Callable[..., list[str]]) -> None:
    assert exposed() == []


@pytest.mark.parametrize(
    ("setting", "value", "way"),
    [
        ("sandbox", "false", NOT_SANDBOXED),
        ("sandbox", "relaxed", NOT_SANDBOXED),
        ("sandbox", "", NOT_SANDBOXED),
        ("sandbox_fallback", "true", NOT_SANDBOXED),
        ("require_sigs", "false", "Nix takes unsigned paths from everybody (require-sigs = false)"),
        ("require_sigs", "", "Nix takes unsigned paths from everybody (require-sigs = false)"),
        ("post_build_hook", "/home/me/hook", "Nix calls another hook, /home/me/hook"),
        ("substituters", "https://a?trusted=1", "Nix takes unsigned paths from https://a?trusted=1"),
        (
            "trusted_substituters",
            "https://a?priority=1&trusted=true https://b",
            "Nix takes unsigned paths from https://a?priority=1&trusted=true",
        ),
    ],
)
def test_a_setting_that_opens_a_way_is_named(
    exposed: Callable[..., list[str]], setting: str, value: str, way: str
) -> None:
    assert exposed(**{setting: value}) == [way]


def test_no_hook_is_no_other_hook(exposed: Callable[..., list[str]]) -> None:
    assert exposed(post_build_hook="") == []


def test_a_trusted_user_is_named(exposed: Callable[..., list[str]]) -> None:
    assert exposed(trusted=True) == ["the job's user is a trusted user of the nix-daemon"]


def test_files_of_the_jobs_user_that_nix_reads_are_named(exposed: Callable[..., list[str]], tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.touch()
    assert exposed(plugin_files=f"{mine}") == [f"root loads what the job's user can change, plugin-files = {mine}"]
    builders = f"ssh://builder@host x86_64-linux ; @{mine}"
    assert exposed(builders=builders) == [f"Nix builds on machines that the job's user can name, builders = {mine}"]
    for paths in (f"/bin/sh={mine}?", f"{mine}?", f"{mine}"):
        assert exposed(sandbox_paths=paths) == [f"builds see a path that the job's user can change, {mine}"]


def test_a_nix_that_does_not_answer_is_not_closed(tmp_path: Path) -> None:
    assert NOT_SANDBOXED in isolation.of_nix(Nix(tmp_path), HOOK)


def test_what_the_uploader_works_with_is_named_where_the_jobs_user_can_change_it(tmp_path: Path) -> None:
    hook, jobs = tmp_path / "hook", tmp_path / "jobs"
    (jobs / "one").mkdir(parents=True)
    hook.touch()
    ways = list(isolation.of_machine(Nix(tmp_path), hook, jobs, [tmp_path / "used"]))
    assert f"the job's user can change what the uploader works on, {hook}, {tmp_path}, {jobs}/one" in ways
    assert any(way.startswith("the job's user can change the Nix that the uploader and root run, ") for way in ways)


@pytest.mark.parametrize(
    ("count", "text"), [(1, "/0"), (3, "/0, /1, /2"), (4, "/0, /1, /2 and 1 more"), (9, "/0, /1, /2 and 6 more")]
)
def test_many_paths_are_three_and_a_number(count: int, text: str) -> None:
    assert isolation.named([Path(f"/{number}") for number in range(count)]) == text
