"""The graph as an object of the cache, so that the next run reads only new narinfos.

It is zstd (RFC 8878) of a line of JSON with the lengths, then the arrays of `Graph` in little endian, then a line for
each realisation and debug link: its name, `short` of its ETag, and what it belongs to. A damaged one counts as none:
then each narinfo is read again.
"""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Mapping
from typing import Final

from ..caches.protocol import ObjectCache
from ..nix.unpack import CORRUPT, unpacked
from ..nix.zstd import zstd
from ..system import flat_json
from .graph import BYTES, Graph

NAME: Final = "autocache/gc/index"
_KIND, _FORMAT, _LEVEL = "graph", 1, 3
_LARGEST: Final = 1 << 30  # bytes
_HEAD: Final = 4096
_ARRAYS: Final = ("hashes", "etags", "archives", "counts", "references")

Links = Mapping[str, tuple[int, str]]
"""Small objects that belong to a path or an archive: `short` of the ETag, and a hash part or an archive's name."""


def encode(graph: Graph, present: bytearray, links: Links) -> bytes:
    """The object with what the narinfos that are `present` say."""
    compact = _compacted(graph, present)
    lines = (f"{name} {etag:x} {target}" for name, (etag, target) in links.items())
    # Others may have used any letters: what would be no line of three words is read again.
    text = "".join(f"{line}\n" for line in lines if line.isprintable() and line.count(" ") == 2).encode()
    lengths = {name: len(getattr(compact, name)) for name in _ARRAYS} | {"links": len(text)}
    packer = zstd.ZstdCompressor(_LEVEL)
    head = json.dumps({"kind": _KIND, "format": _FORMAT, **lengths}, separators=(",", ":"))
    pieces = [packer.compress(f"{head}\n".encode())]
    for name in _ARRAYS:
        pieces.append(packer.compress(_little(getattr(compact, name)).tobytes()))
    return b"".join([*pieces, packer.compress(text), packer.flush()])


def read(cache: ObjectCache) -> tuple[Graph, dict[str, tuple[int, str]]]:
    """The graph of the last run, and what the links of it belong to; both empty if there is none. Raises CacheBusy."""
    content = cache.open(NAME)
    if content is None:
        return Graph(), {}
    data = bytearray()
    try:
        for piece in unpacked("zstd", content.pieces):
            data += piece
            if len(data) > _LARGEST:
                raise ValueError("too large")
        return _decode(memoryview(data))
    except (*CORRUPT, LookupError, TypeError, OverflowError):
        return Graph(), {}
    finally:
        content.close()


def _compacted(graph: Graph, present: bytearray) -> Graph:
    """The graph of these paths and of what they refer to, which comes last; without `numbers` and `starts`."""
    order = array("I", (path for path in range(len(graph)) if present[path]))
    compact, kept = Graph(), len(order)
    new = array("i", [-1]) * len(graph)
    for number, path in enumerate(order):
        new[path] = number
    for path in order[:kept]:
        compact.etags.append(graph.etags[path])
        compact.archives.append(graph.archives[path])
        compact.counts.append(graph.counts[path])
        for reference in graph.refers_to(path):
            if new[reference] < 0:
                new[reference] = len(order)
                order.append(reference)
            compact.references.append(new[reference])
    for path in order:
        compact.hashes.extend(graph.hashes[path * BYTES : (path + 1) * BYTES])
    for values in (compact.etags, compact.archives, compact.counts):
        values.extend([0] * (len(order) - kept))
    return compact


def _decode(data: memoryview) -> tuple[Graph, dict[str, tuple[int, str]]]:
    """Raises ValueError and others for what `encode` has not made."""
    end = bytes(data[:_HEAD]).index(b"\n")
    head = flat_json.parse(bytes(data[:end]))
    if head["kind"] != _KIND or head["format"] != _FORMAT:
        raise ValueError("not a graph")
    graph, at = Graph(), end + 1
    for name in _ARRAYS:
        values: array[int] = getattr(graph, name)
        size = int(head[name]) * values.itemsize
        if not 0 <= size <= len(data) - at:
            raise ValueError("too short")
        values.frombytes(data[at : at + size])
        _little(values)
        at += size
    lines = bytes(data[at:]).decode().splitlines()
    _check(graph)
    return graph, {name: (int(etag, 16), target) for name, etag, target in (line.split(" ", 2) for line in lines)}


def _check(graph: Graph) -> None:
    """Fill in what follows from the rest. Raises ValueError where the arrays do not fit together."""
    count = len(graph.etags)
    if not count == len(graph.archives) == len(graph.counts) == len(graph.hashes) // BYTES:
        raise ValueError("lengths differ")
    if len(graph.hashes) % BYTES or max(graph.references, default=-1) >= count:
        raise ValueError("a reference to nothing")
    start = 0
    for path in range(count):
        graph.starts.append(start)
        start += graph.counts[path]
        graph.numbers[int.from_bytes(graph.hashes[path * BYTES : (path + 1) * BYTES].tobytes(), "big")] = path
    if start != len(graph.references) or len(graph.numbers) != count:
        raise ValueError("counts do not fit")


def _little(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values.byteswap()
    return values
