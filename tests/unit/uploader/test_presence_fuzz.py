"""Whatever a cache answers for a narinfo is judged without an error, and signed only if it says what the store says.

The same for what lies beside narinfos: nix-cache-info, realisations, and the derivations that these are of.
"""

import gzip
import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.errors import CacheError
from nix_autocache.nix.narinfo import fingerprint
from nix_autocache.nix.unpack import CORRUPT, unpacked
from nix_autocache.uploader.cache_info import fields
from nix_autocache.uploader.presence import Found, decoded, judge
from tests.harness.samples import INFO, KEY, PATH, READERS, SIGNED, UNSIGNED
from tests.harness.soak import seeds
from tests.harness.strategies import texts


@pytest.mark.soak
@settings(max_examples=seeds(5000))
@given(st.one_of(texts(SIGNED.encode()), texts(UNSIGNED.encode())), st.booleans())
@pytest.mark.slow
def test_a_narinfo_is_believed_only_for_what_it_says(text: bytes, packed: bool) -> None:
    found = judge(gzip.compress(text) if packed else text, INFO, READERS)
    lines = text.decode("utf-8", "replace").split("\n")
    if found.there:
        assert f"StorePath: {PATH}" in lines
        said = [line.partition(": ")[2] for line in lines if line.startswith("Sig: ")]
        assert any(KEY.public.verifies(fingerprint(INFO), each) for each in said), "what it is over cannot be changed"
    if found.archive:
        assert {f"NarHash: {INFO.nar_hash}", f"NarSize: {INFO.nar_size}"} <= set(lines)
        assert re.fullmatch(r"nar/[\w.=-]+", found.archive.url)
        assert f"URL: {found.archive.url}" in lines


@pytest.mark.soak
@settings(max_examples=seeds(3000))
@given(st.integers(0, len(UNSIGNED)), st.binary(max_size=12), st.integers(0, len(UNSIGNED)))
def test_any_narinfo_is_judged(at: int, fresh: bytes, end: int) -> None:
    good = UNSIGNED.encode()
    assert isinstance(judge((good[:at] + fresh + good[at + len(fresh) :])[:end], INFO, ()), Found)


@pytest.mark.soak
@settings(max_examples=seeds(2000))
@given(st.sampled_from([b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"BZh9"]), st.binary(max_size=200))
def test_bytes_are_no_error(magic: bytes, rest: bytes) -> None:
    decoded(magic + rest)
    judge(magic + rest, INFO, READERS)
    with suppress(CacheError):
        fields(magic + rest)
    for name in ("none", "zstd", "xz", "bzip2", "gzip"):
        with suppress(*CORRUPT):
            list(unpacked(name, [magic, rest]))
