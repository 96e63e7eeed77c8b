"""Caches of any content are trimmed."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.uploader.trim import trim
from tests.harness.samples import PATH, UNSIGNED, Nothing, narinfo
from tests.harness.soak import seeds
from tests.harness.strategies import BYTES, texts


@pytest.mark.soak
@settings(max_examples=seeds(500))
@given(st.lists(texts(UNSIGNED.encode()), max_size=4), st.lists(BYTES, max_size=3), st.integers(0, 1000))
def test_a_cache_of_any_content_is_trimmed(infos: list[bytes], realised: list[bytes], limit: int) -> None:
    with TemporaryDirectory() as name:
        cache = Path(name, "kept/cache")
        for letter in "abcd":
            narinfo(cache, letter)
        for letter, text in zip("abcd", infos, strict=False):
            (cache / f"{letter * 32}.narinfo").write_bytes(text.replace(PATH.hash_part.encode(), letter.encode() * 32))
        (cache / "realisations").mkdir()
        for number, text in enumerate(realised):
            (cache / f"realisations/sha256:{number:064x}!out.doi").write_bytes(text)
        trim(cache, limit, Nothing(), time.time())
        assert sum(file.stat().st_size for file in cache.glob("*.narinfo")) <= limit
