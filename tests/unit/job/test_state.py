"""What `setup` decided, for later steps: read as written, and no later step turns pushing on."""

import json
from pathlib import Path

import pytest

from nix_autocache.job.state import JobState
from nix_autocache.machine.modes import Mode
from nix_autocache.nix.store import Nix
from nix_autocache.system.dataclass import asdict
from nix_autocache.trust.policy import LIMITATIONS, Verdict
from nix_autocache.uploader.read_proxy.address import Address

NIX = Nix(Path("/usr/bin"))
OPEN = Verdict(push=True, reason="push is trusted", unsolved={4: "the job's user is root"})
SEALED = Verdict(push=True, reason="the key is out of reach", unsolved={})
PULL = Verdict(push=False, reason="a fork", unsolved=dict.fromkeys(LIMITATIONS, "nothing is pushed"))


def begun(verdict: Verdict, no_hook: str = "") -> JobState:
    return JobState.begin(Mode.EXISTING_DAEMON, NIX, "s3://bucket", verdict, no_hook=no_hook)


@pytest.mark.parametrize("state", [begun(OPEN), begun(SEALED), begun(PULL), begun(OPEN, "no hook")], ids=range(4))
def test_a_state_is_read_as_it_was_written(tmp_path: Path, state: JobState) -> None:
    state.save(tmp_path / "setup.json")
    read = JobState.load(tmp_path / "setup.json")
    assert read == state
    assert (read.nix, read.chosen) == (NIX, Mode.EXISTING_DAEMON)


def test_where_nothing_was_set_up_there_is_no_state(tmp_path: Path) -> None:
    assert JobState.load(tmp_path / "setup.json") is None


def test_a_state_without_the_newest_fields_is_read(tmp_path: Path) -> None:
    """As an older version wrote it, whose job goes on with this one."""
    values = {**asdict(begun(OPEN)), "reader_port": 8080}  # a field of before
    del values["unread"], values["reads"], values["reader"]
    (tmp_path / "setup.json").write_text(json.dumps(values))
    read = JobState.load(tmp_path / "setup.json")
    assert read is not None
    assert (read.unread, read.reads, read.reader) == (False, (), None)
    assert read.unsolved == OPEN.unsolved


def test_a_job_without_the_hook_scans_the_store_and_says_what_that_loses() -> None:
    state = begun(SEALED, "the configuration is fixed")
    assert state.scan
    assert list(state.unsolved) == [2]
    assert state.unsolved[2].startswith("the configuration is fixed; the store is scanned at the end")


def test_a_job_that_only_pulls_scans_nothing() -> None:
    assert not begun(PULL, "the configuration is fixed").scan


def test_a_later_verdict_counts_and_keeps_what_a_scan_loses() -> None:
    state = begun(OPEN, "no hook").judged(SEALED)
    assert (state.push, state.reason) == (True, SEALED.reason)
    assert list(state.unsolved) == [2]
    assert begun(OPEN).judged(SEALED).unsolved == {}


def test_no_later_verdict_turns_pushing_on() -> None:
    pulling = begun(OPEN).judged(PULL)
    assert not pulling.push
    assert pulling.judged(SEALED) == pulling
    assert begun(PULL).judged(SEALED) == begun(PULL)


def test_a_job_that_only_pulls_from_now_on_still_reads_and_solves_nothing(tmp_path: Path) -> None:
    state = JobState.begin(Mode.EXISTING_DAEMON, NIX, "s3://bucket", SEALED, reader=Address(8080, "abc"))
    pulling = state.only_pulling("the uploader did not start")
    assert (pulling.push, pulling.reader) == (False, Address(8080, "abc"))
    assert pulling.unsolved == dict.fromkeys(LIMITATIONS, "the uploader did not start")
    pulling.save(tmp_path / "setup.json")
    assert JobState.load(tmp_path / "setup.json") == pulling
