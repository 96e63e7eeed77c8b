"""The journal replayed backwards, whole or interrupted, and the records of versions that had none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nix_autocache.machine import before_journal, journal, registrations
from nix_autocache.machine.build_users import MadeBuildUsers
from nix_autocache.machine.daemon_unit import MadeDaemonUnit
from nix_autocache.machine.installation import InstalledNix
from nix_autocache.machine.kvm import OpenedKvm
from nix_autocache.machine.lockdown import Lockdown
from nix_autocache.machine.managed.provision import ManagedUploader
from nix_autocache.machine.paths import Paths
from nix_autocache.machine.registrations import RegisteredJobs, Registration
from nix_autocache.machine.state_directory import MadeDirectories, locked
from nix_autocache.machine.undo import KINDS, undo
from nix_autocache.machine.uploader_user import MadeUploaderUser
from tests.harness.machine_paths import paths_in
from tests.harness.watched import US


def tree(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def with_a_job(paths: Paths, name: str = "job") -> None:
    wanted = Registration(job_name=name, owner=US, lines=("max-jobs = 1",), nix_bin="/bin", queue=True, hook=True)
    registrations.add(paths, wanted, private=False)


def with_an_installation(paths: Paths) -> None:
    """One that was killed, and began again: the second attempt found a part of what the first one made."""
    made = paths.nix_conf.parent / "nix-of-ours"
    with locked(paths):
        journal.record(paths, InstalledNix((str(made),)))
        made.mkdir(parents=True)
        journal.record(paths, InstalledNix((str(made / "var"),)))
        (made / "var").mkdir()


STEPS: dict[str, list[Callable[[Paths], None]]] = {
    "a job": [with_a_job],
    "a job after an installation": [with_an_installation, with_a_job],
    "an installation after a job": [with_a_job, with_an_installation, with_a_job],
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_undo_leaves_what_was_there_before(tmp_path: Path, steps: list[Callable[[Paths], None]]) -> None:
    (tmp_path / "etc").mkdir()
    before, paths = tree(tmp_path), paths_in(tmp_path)
    for step in steps:
        step(paths)
    undo(paths)
    assert tree(tmp_path) == [*before, "gcroots"]  # as Nix has it
    undo(paths)


@pytest.mark.parametrize("done", range(4))
def test_an_undo_that_was_killed_is_completed_by_the_next(tmp_path: Path, done: int) -> None:
    paths = paths_in(tmp_path)
    with_an_installation(paths)
    with_a_job(paths)
    changes = journal.read(paths, KINDS)
    assert len(changes) == 4
    for change in changes[: -done - 1 : -1]:
        change.undo(paths)
    undo(paths)
    assert [path for path in tree(tmp_path) if not path.startswith("gcroots")] == []


def test_a_directory_that_somebody_uses_by_now_stays(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    with_a_job(paths)
    (paths.nix_conf / "registry.json").touch()
    undo(paths)
    assert (paths.nix_conf / "registry.json").exists()
    assert not paths.state.parent.parent.exists()


def test_a_newer_version_s_change_stops_undo_before_it_changes_anything(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    with_a_job(paths)
    with open(paths.journal, "a") as file:
        file.write('{"kind": "firewall"}\n')
    before = tree(tmp_path)
    with pytest.raises(Exception, match="run `undo` with that version"):
        undo(paths)
    assert tree(tmp_path) == before


OLD_INSTALLATION = {
    "kind": "multi-user", "made": ["/nix/var"], "users": ["nixbld1"], "group": True, "complete": True,
    "kept": ["a-path"], "owner": [0o1775, 0, 30000],
}  # fmt: skip
OLD_MENDED = {
    "kind": "multi-user", "made": [], "users": ["nixbld2"], "group": False, "complete": False, "kept": None,
    "owner": None,
}  # fmt: skip


def test_the_records_of_versions_without_a_journal_are_its_changes(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    paths.jobs.mkdir(parents=True)
    for name, text in {
        "directories-made": "/etc/nix\n/var/lib/odd\n",
        "installed.json": json.dumps(OLD_INSTALLATION),
        "mended.json": json.dumps(OLD_MENDED),
        "kvm-mode": "660",
        "user-made": "",
        "hardened.json": json.dumps({"paths": {}, "mounts": {}, "users": [], "ptrace": ""}),
        "daemon-unit-made": "",
        "provisioned.json": "{}",
    }.items():
        (paths.state / name).write_text(text)
    assert list(before_journal.changes(paths)) == [
        MadeDirectories(("/etc/nix", "/var/lib/odd")),
        InstalledNix(("/nix/var",), ("a-path",), (0o1775, 0, 30000)),
        MadeBuildUsers(("nixbld1",), group=True),
        MadeDaemonUnit(),
        MadeBuildUsers(("nixbld2",), group=False),
        OpenedKvm(0o660),
        MadeUploaderUser(),
        Lockdown(),
        MadeDaemonUnit(),
        RegisteredJobs(),
        ManagedUploader(),
    ]


def test_what_an_earlier_version_did_is_undone_with_what_this_one_did(tmp_path: Path) -> None:
    """The directories of the earlier version go last, although this version's journal is younger."""
    paths, ours = paths_in(tmp_path), tmp_path / "nix-of-ours"
    paths.state.mkdir(parents=True)
    ours.mkdir()
    around = [tmp_path / "etc/nix", tmp_path / "etc", tmp_path / "var/lib", tmp_path / "var"]
    (paths.state / "directories-made").write_text("".join(f"{path}\n" for path in around))
    old = {**OLD_MENDED, "kind": "single-user", "users": [], "made": [str(ours)]}
    (paths.state / "installed.json").write_text(json.dumps(old))
    with_a_job(paths)
    undo(paths)
    assert [path for path in tree(tmp_path) if not path.startswith("gcroots")] == []
