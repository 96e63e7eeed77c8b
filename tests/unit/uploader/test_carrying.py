"""What Nix took from the period before is pushed into this one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nix_autocache.uploader import carrying
from nix_autocache.uploader.nix_reading import NixReading
from tests.harness.draining import Draining, draining
from tests.harness.waiting import wait_for


@pytest.fixture
def reading() -> NixReading:
    return NixReading()


@pytest.fixture
def drained(tmp_path: Path, reading: NixReading) -> Iterator[Draining]:
    with draining(tmp_path, reading=reading) as made:
        yield made


def given(reading: NixReading, path: str, **more: bool) -> None:
    """The read proxy has given Nix the narinfo of a path."""
    name = f"{path.rpartition('/')[2][:32]}.narinfo"
    reading.hear(json.dumps({"name": name, "narinfo": f"StorePath: {path}\nURL: nar/x\n", **more}).encode())


def test_what_was_taken_from_the_period_before_is_pushed_with_its_closure(
    drained: Draining, reading: NixReading
) -> None:
    library = drained.fake.add("library")
    given(reading, drained.fake.add("program", [library]), carry=True)
    given(reading, drained.fake.add("here-already"))
    assert drained.flush()
    assert drained.pushed() == {"library", "program"}
    assert not drained.failed()


def test_what_nix_asked_for_and_did_not_fetch_is_no_failure_and_may_come_later(
    drained: Draining, reading: NixReading
) -> None:
    given(reading, drained.fake.path("later"), carry=True)
    given(reading, "/elsewhere/x", carry=True)
    assert drained.flush()
    assert not drained.pushed()
    assert not drained.failed()
    drained.fake.add("later")
    assert drained.flush()
    assert drained.pushed() == {"later"}


def test_it_is_carried_over_while_the_job_still_builds(
    tmp_path: Path, reading: NixReading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "_INTERVAL", 0.0)
    with draining(tmp_path, reading=reading) as drained:
        given(reading, drained.fake.add("early"), carry=True)
        wait_for(lambda: drained.pushed() == {"early"}, "it is pushed without a flush")


def test_more_than_fit_into_an_entry_are_carried_over(
    drained: Draining, reading: NixReading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "_TOGETHER", 3)
    names = {f"path-{number}" for number in range(7)}
    for name in names:
        given(reading, drained.fake.add(name), carry=True)
    assert drained.flush()
    assert drained.pushed() == names
