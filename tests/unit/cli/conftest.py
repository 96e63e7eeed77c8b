"""The cache of a test of the command line."""

from pathlib import Path

import pytest
from tests.harness.collected import save
from tests.harness.memory_store import MemoryStore


@pytest.fixture
def cache(store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with what the test's `store` holds, which the environment names."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    save(store, tmp_path / "cache")
    monkeypatch.setenv("NIX_AUTOCACHE_CACHE", f"file://{tmp_path}/cache")
    return tmp_path / "cache"
