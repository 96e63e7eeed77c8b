"""The undo journal: what is recorded comes back, whatever ended the process that wrote it."""

import json
from pathlib import Path

import pytest

from nix_autocache.errors import RunnerError
from nix_autocache.machine import journal
from nix_autocache.machine.build_users import MadeBuildUsers
from nix_autocache.machine.installation import InstalledNix
from nix_autocache.machine.kvm import OpenedKvm
from nix_autocache.machine.paths import Paths
from nix_autocache.machine.registrations import RegisteredJobs
from nix_autocache.machine.state_directory import MadeDirectories
from nix_autocache.machine.undo import KINDS
from tests.harness.machine_paths import paths_in

CHANGES = [
    MadeDirectories(("/a/b", "/a")),
    InstalledNix(("/nix/var",), ("x", "y"), (0o1775, 0, 30000)),
    InstalledNix(("/nix",)),
    MadeBuildUsers(("nixbld1", "nixbld2"), group=True),
    OpenedKvm(0o660),
    RegisteredJobs(),
]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = paths_in(tmp_path)
    found.state.mkdir(parents=True)
    return found


def test_changes_come_back_as_they_were_recorded_and_in_order(paths: Paths) -> None:
    assert journal.read(paths, KINDS) == []
    for change in CHANGES:
        journal.record(paths, change)
    assert journal.read(paths, KINDS) == CHANGES


def test_a_change_is_recorded_once(paths: Paths) -> None:
    for change in [*CHANGES, *reversed(CHANGES)]:
        journal.record(paths, change)
    assert journal.read(paths, KINDS) == CHANGES
    assert journal.is_recorded(paths, OpenedKvm)


@pytest.mark.parametrize("length", range(1, len('{"kind": "kvm", "mode": 432}')))
def test_a_line_that_a_full_disk_cut_spoils_no_other_line(paths: Paths, length: int) -> None:
    journal.record(paths, CHANGES[0])
    whole = paths.journal.read_text()
    journal.record(paths, OpenedKvm(0o660))
    paths.journal.write_text(paths.journal.read_text()[: len(whole) + length])
    assert journal.read(paths, KINDS) == CHANGES[:1]
    assert not journal.is_recorded(paths, OpenedKvm)
    journal.record(paths, OpenedKvm(0o660))
    assert journal.read(paths, KINDS) == [CHANGES[0], OpenedKvm(0o660)]


def test_a_change_of_a_newer_version_names_the_version_to_use(paths: Paths) -> None:
    paths.journal.write_text(json.dumps({"kind": "firewall", "port": 1}) + "\n")
    with pytest.raises(RunnerError, match="newer nix-autocache recorded 'firewall'; run `undo` with that version"):
        journal.read(paths, KINDS)


def test_undo_knows_every_kind_of_change() -> None:
    assert set(KINDS.values()) == set(journal.Change.__subclasses__())
    assert {kind.kind for kind in KINDS.values()} == set(KINDS)
