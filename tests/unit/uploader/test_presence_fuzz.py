"""Whatever a cache answers for a narinfo is judged without an error, and signed only if it says what the store says.

The same for what lies beside narinfos: nix-cache-info, realisations, and the derivations that these are of.
"""

import gzip
import re
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.errors import CacheError
from nix_autocache.nix.narinfo import fingerprint, render
from nix_autocache.nix.realisation import realisations
from nix_autocache.uploader.cache_info import fields
from nix_autocache.uploader.compress import CORRUPT, unpacked
from nix_autocache.uploader.presence import decoded, judge
from nix_autocache.uploader.trim import trim
from tests.harness.samples import (
    CA,
    FILE,
    INFO,
    KEY,
    OTHERS,
    PATH,
    READERS,
    SIGNED,
    UNSIGNED,
    Nothing,
    derivation,
    narinfo,
    output,
)
from tests.harness.soak import seeds

LINES = [line.encode() for text in (SIGNED, UNSIGNED, render(INFO, FILE, OTHERS)) for line in text.splitlines()]
ODD = [b"", b": ", b"StorePath: ", b"Sig: " + KEY.sign(b"x").encode(), b"NarSize: 121", b"References: ", b"CA: x"]
BYTES = st.binary(max_size=12)


@st.composite
def texts(draw: st.DrawFn, whole: bytes) -> bytes:
    """A text with some of its lines left out, doubled, moved or from elsewhere, and some of its bytes replaced."""
    lines = whole.split(b"\n")
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(lines)))
        lines[place : place + draw(st.integers(0, 2))] = draw(
            st.lists(st.one_of(st.sampled_from(LINES + ODD), BYTES), max_size=2)
        )
    text = bytearray(b"\n".join(lines))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(text)))
        text[place : place + draw(st.integers(0, 3))] = draw(BYTES)
    return bytes(text)


@pytest.mark.soak
@settings(max_examples=seeds(5000))
@given(st.one_of(texts(SIGNED.encode()), texts(UNSIGNED.encode())), st.booleans())
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


@pytest.mark.soak
@settings(max_examples=seeds(2000))
@given(texts(CA.encode()))
def test_a_derivation_of_any_text_is_no_error(text: bytes) -> None:
    with TemporaryDirectory() as name:
        path = derivation(Path(name), "")
        Path(path).write_bytes(text)
        for found in realisations(path, [output("ca"), output("ca-dev")]):
            assert re.fullmatch(r"realisations/sha256:[0-9a-f]{64}![^/\n]+\.doi", found.name), found.name


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
