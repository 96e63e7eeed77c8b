"""What `check` tries to delete: its own path, whatever the cache answers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nix_autocache.caches.directory import open_directory
from nix_autocache.caches.protocol import Access
from nix_autocache.job import trial_refusals
from nix_autocache.nix.store import Nix, StorePath
from nix_autocache.nix.store_url import of_directory

PATH = StorePath(f"/nix/store/{'a' * 32}-check")


@pytest.mark.parametrize("named", ["other.narinfo", "autocache/index/x", "../victim", "nar/../other.narinfo"])
def test_a_narinfo_that_was_changed_makes_it_delete_nothing_else(tmp_path: Path, named: str) -> None:
    url = of_directory(tmp_path / "cache")
    cache = open_directory(url, Access({}, Nix(Path("/")), None))
    others = ["cache/other.narinfo", "cache/autocache/index/x", "victim"]
    cache.put(
        f"{PATH.hash_part}.narinfo", f"StorePath: {PATH}\nURL: {named}\nNarHash: x\nNarSize: 1\n".encode(), "text"
    )
    for name in others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    access = SimpleNamespace(url=url, open=lambda _: cache)
    list(trial_refusals.rows(cast("Any", SimpleNamespace(access=access, secret_key=None)), PATH))
    assert cache.get(f"{PATH.hash_part}.narinfo") is None
    assert all((tmp_path / name).exists() for name in others)
