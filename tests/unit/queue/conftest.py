"""A queue as `setup` makes it."""

from pathlib import Path

import pytest

from nix_autocache.queue.directory import Queue


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    made = Queue(tmp_path / "queue", tmp_path / "roots")
    made.create()
    (tmp_path / "roots").mkdir()
    return made
