"""What lies below `autocache/`: anything that others may have put there is read as what it is, or not at all."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.caches.run_codec import pack, read, unpack
from nix_autocache.errors import CacheBusy, CacheError
from nix_autocache.nix.zstd import zstd
from tests.harness.object_cache import FaultyCache
from tests.harness.soak import seeds
from tests.harness.strategies import JSON

HEADS = st.dictionaries(st.text(max_size=8), st.integers() | st.text() | st.none() | st.booleans(), max_size=4)
OBJECT = pack({"kind": "a"}, "text\n" * 50)


@given(HEADS, st.text())
def test_what_is_packed_is_read_again(head: Mapping[str, Any], text: str) -> None:
    assert unpack([pack(head, text)]) == ({**head, "format": 1}, text.encode("utf-8", "replace").decode())


@pytest.mark.parametrize("number", [0, 2, True, "1", None, [1]])
def test_another_format_is_not_read(number: Any) -> None:
    with pytest.raises(CacheError):
        unpack([zstd.compress(json.dumps({"format": number}).encode() + b"\n")])


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"[]\n", b"{}\n", b"1\n", b'{"format":1', b"\xff\n", b'{"format":1}\n\xff', b"[" * 60_000]
)
def test_what_is_no_text_after_a_head_is_not_read(content: bytes) -> None:
    with pytest.raises(CacheError):
        unpack([zstd.compress(content)])


@given(st.integers(0, len(OBJECT) - 1))
def test_half_an_object_is_none(end: int) -> None:
    with pytest.raises(CacheError):
        unpack([OBJECT[:end]])


@pytest.mark.soak
@settings(max_examples=seeds(1000))
@given(
    st.binary(max_size=200)
    | st.binary(max_size=50).map(zstd.compress)
    | JSON.map(lambda value: zstd.compress(json.dumps(value).encode() + b"\nx"))
    | st.tuples(st.integers(0, len(OBJECT)), st.binary(max_size=4)).map(
        lambda change: OBJECT[: change[0]] + change[1] + OBJECT[change[0] + len(change[1]) :]
    )
)
def test_any_bytes_are_an_object_or_an_error_of_ours(packed: bytes) -> None:
    try:
        head, text = unpack([packed])
    except CacheError:
        return
    assert head["format"] == 1
    assert isinstance(text, str)


def test_a_text_above_the_limit_is_not_read() -> None:
    packed = pack({}, "x" * 1000)
    assert unpack([packed], 1100)
    with pytest.raises(CacheError, match="more than"):
        unpack([packed], 1000)


def test_no_more_than_the_limit_is_read_of_an_object_without_an_end() -> None:
    """A frame that is skipped (RFC 8878, 3.1.2) has up to 4 GB, and unpacks to nothing."""
    read_so_far = 0

    def endless() -> Iterator[bytes]:
        nonlocal read_so_far
        yield pack({}, "") + bytes.fromhex("502a4d18ffffffff")
        while True:
            read_so_far += 1 << 10
            yield bytes(1 << 10)

    with pytest.raises(CacheError):
        unpack(endless(), 1 << 20)
    assert read_so_far <= 1 << 20


@pytest.mark.slow
@pytest.mark.parametrize("bomb", ["long", "wide", "many"])
def test_a_bomb_takes_no_memory(bomb: str) -> None:
    """A gigabyte in 32 KB, a window of 128 MB, and frames without content: each in a process with 80 MB to spare."""
    script = f"""
import resource
from nix_autocache.caches.run_codec import pack, unpack
from nix_autocache.errors import CacheError
from nix_autocache.nix.zstd import zstd
parameters = zstd.CompressionParameter
if {bomb!r} == "long":
    compressor = zstd.ZstdCompressor()
    packed = b"".join([compressor.compress(bytes(1 << 20)) for _ in range(1 << 10)] + [compressor.flush()])
elif {bomb!r} == "wide":
    packed = zstd.compress(bytes(1 << 20), options={{parameters.window_log: 27, parameters.content_size_flag: 0}})
    packed = packed[:5] + bytes([17 << 3]) + packed[6:]
else:
    packed = zstd.compress(b"") * 200_000
unpack([pack({{}}, "")])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    unpack([packed])
except CacheError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 80 << 10, "kilobytes"


def test_an_object_is_read_from_a_cache_and_closed() -> None:
    cache = FaultyCache({"a": pack({}, "text"), "b": b"<html>"})
    assert read(cache, "a") == ({"format": 1}, "text")  # type: ignore[arg-type]
    assert read(cache, "c") is None  # type: ignore[arg-type]
    with pytest.raises(CacheError):
        read(cache, "b")  # type: ignore[arg-type]
    cache.busy = True
    with pytest.raises(CacheBusy):
        read(cache, "a")  # type: ignore[arg-type]
