"""The end of a job looks for what the hook missed: how often it reads the queue does not depend on what was built."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nix_autocache.job import store_scan
from nix_autocache.machine.modes import Mode
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.queue import scan
from nix_autocache.queue.directory import Queue
from nix_autocache.queue.outcomes import Outcome
from tests.harness.samples import INFO


def built(number: int) -> PathInfo:
    path = StorePath(f"/nix/store/{number:032d}-path")
    return PathInfo(path, "", (), INFO.nar_hash, 1, "", (), ultimate=True)


def test_the_queue_is_read_once_however_much_was_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.create()
    infos = [built(number) for number in range(50)]
    queue.outcomes.record([Outcome(what="pushed", path=str(info.path)) for info in infos])
    reads: list[int] = []
    told = store_scan._told

    def counted(context: Any) -> tuple[set[str], set[str]]:
        reads.append(1)
        return told(context)

    monkeypatch.setattr(store_scan, "_told", counted)
    monkeypatch.setattr(scan, "new_builds", lambda nix, before: infos)
    context: Any = SimpleNamespace(job=SimpleNamespace(queue=queue, store_before=tmp_path / "before"))
    state: Any = SimpleNamespace(chosen=Mode.MULTI_USER)
    nix: Any = None
    assert store_scan._missed(context, state, nix) == []
    assert len(reads) == 1
