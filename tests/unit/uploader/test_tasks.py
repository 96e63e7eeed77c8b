"""How the questions of a drain are shared between connections."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.uploader.presence import Found
from nix_autocache.uploader.pusher import Pusher
from tests.harness.draining import draining


class Asked:
    """A pusher that notes how many paths each connection was asked for."""

    def __init__(self, pusher: Pusher) -> None:
        self.sizes: list[int] = []
        self._lock = threading.Lock()
        self._pusher = pusher

    def __getattr__(self, name: str) -> object:
        return getattr(self._pusher, name)

    def ask(self, infos: Sequence[PathInfo]) -> Mapping[StorePath, Found]:
        with self._lock:
            self.sizes.append(len(infos))
        return self._pusher.ask(infos)


@pytest.mark.parametrize(("paths", "connections", "together"), [(1, 1, 1), (61, 16, 4), (201, 19, 11), (1200, 38, 32)])
@pytest.mark.slow
def test_few_paths_are_asked_for_by_many_connections(
    tmp_path: Path, paths: int, connections: int, together: int
) -> None:
    """A server that thinks about each question answers those of one connection one after the other."""
    made: list[Asked] = []

    def wrapped(pusher: Pusher) -> Pusher:
        made.append(Asked(pusher))
        return made[0]  # type: ignore[return-value]

    with draining(tmp_path, wrapped=wrapped) as drained:
        entry = f"{drained.fake.path('all').rpartition('/')[2]}.drv"
        drained.queue.add(entry, [drained.fake.add(f"path-{number}") for number in range(paths)])
        assert drained.flush()
        assert len(drained.pushed()) == paths
    assert len(made[0].sizes) == connections
    assert max(made[0].sizes) == together
