"""The graph as an object of the cache, so that the next run reads only new narinfos.

It is zstd (RFC 8878) of a line of JSON with the lengths, then the arrays of `Graph` in little endian, then a line for
each realisation and debug link: its name, `short` of its ETag, and what it belongs to. A damaged one counts as none:
then each narinfo is read again.
"""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ..caches.protocol import ObjectCache
from ..nix.unpack import CORRUPT, unpacked
from ..nix.zstd import zstd
from ..system import flat_json
from ..system.dataclass import dataclass
from .graph import Graph
from .hash_parts import BYTES, HashParts

NAME: Final = "autocache/gc/index"
_KIND, _FORMAT, _LEVEL = "graph", 1, 3
_LARGEST: Final = 1 << 30  # bytes
_HEAD: Final = 4096
_PART: Final = 1 << 12  # paths that are packed at once
_READ: Final = 1 << 20  # bytes that are read at once, whole items of every array
_ARRAYS: Final = ("hashes", "etags", "archives", "counts", "references")

Links = Mapping[str, tuple[int, str]]
"""Small objects that belong to a path or an archive: `short` of the ETag, and a hash part or an archive's name."""


@dataclass(frozen=True)
class GraphFile:
    """The object with what the narinfos that are `present` say, in pieces: it is never in memory as a whole."""

    graph: Graph
    present: bytearray
    links: Links

    def __iter__(self) -> Iterator[bytes]:
        packer = zstd.ZstdCompressor(_LEVEL)
        for piece in self._unpacked():
            if packed := packer.compress(piece):
                yield packed
        yield packer.flush()

    def _unpacked(self) -> Iterator[bytes]:
        graph, order = self.graph, array("I", (path for path, there in enumerate(self.present) if there))
        kept = order[:]
        new, references = self._number_references(order)
        lines = (f"{name} {etag:x} {target}" for name, (etag, target) in self.links.items())
        # Others may have used any letters: what would be no line of three words is read again.
        text = "".join(f"{line}\n" for line in lines if line.isprintable() and line.count(" ") == 2).encode()
        counts = (len(order) * BYTES, len(order), len(order), len(order), references, len(text))
        lengths = dict(zip((*_ARRAYS, "links"), counts, strict=True))
        yield json.dumps({"kind": _KIND, "format": _FORMAT, **lengths}, separators=(",", ":")).encode() + b"\n"
        yield from (b"".join(graph.hashes[path] for path in some) for some in _parts(order))
        for values in (graph.etags, graph.archives, graph.counts):
            yield from (_packed(array(values.typecode, (values[path] for path in some))) for some in _parts(kept))
            yield bytes((len(order) - len(kept)) * values.itemsize)
        for some in _parts(kept):
            yield _packed(array("I", (new[each] for path in some for each in graph.refers_to(path))))
        yield text

    def _number_references(self, order: array[int]) -> tuple[array[int], int]:
        """The numbers that paths have in the object, by those that they have now, and how many references there are.

        `order` gets what is referred to and not present.
        """
        new = array("i", [-1]) * len(self.graph)
        for number, path in enumerate(order):
            new[path] = number
        count = 0
        for path in order[:]:
            references = self.graph.refers_to(path)
            count += len(references)
            for each in references:
                if new[each] < 0:
                    new[each] = len(order)
                    order.append(each)
        return new, count


def read(cache: ObjectCache) -> tuple[Graph, dict[str, tuple[int, str]]]:
    """The graph of the last run, and what the links of it belong to; both empty if there is none. Raises CacheBusy."""
    content = cache.open(NAME)
    if content is None:
        return Graph(), {}
    try:
        return _decode(_Pieces(unpacked("zstd", content.pieces)))
    except (*CORRUPT, LookupError, TypeError, OverflowError):
        return Graph(), {}
    finally:
        content.close()


class _Pieces:
    """Reads so many bytes at once from pieces of any size. Raises what they raise, and ValueError at their end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, bytearray()

    def line(self) -> bytes:
        """What comes before the first line feed, which must be near."""
        while len(self._left) < _HEAD and b"\n" not in self._left and self._more():
            pass
        return self.take(self._left.index(b"\n", 0, _HEAD) + 1)

    def take(self, size: int) -> bytes:
        while len(self._left) < size:
            if not self._more():
                raise ValueError("too short")
        found = bytes(self._left[:size])
        del self._left[:size]
        return found

    def end(self) -> None:
        """Raises ValueError if there is more."""
        while not self._left and self._more():
            pass
        if self._left:
            raise ValueError("too long")

    def _more(self) -> bool:
        piece = next(self._pieces, None)
        self._left += piece or b""
        return piece is not None


def _decode(pieces: _Pieces) -> tuple[Graph, dict[str, tuple[int, str]]]:
    """Raises ValueError and others for what `GraphFile` has not made."""
    head = flat_json.parse(pieces.line())
    if head["kind"] != _KIND or head["format"] != _FORMAT:
        raise ValueError("not a graph")
    lengths = {name: int(head[name]) for name in (*_ARRAYS, "links")}
    if min(lengths.values()) < 0 or max(lengths.values()) > _LARGEST:
        raise ValueError("too large")
    hashes = bytearray()
    _read(pieces, lengths["hashes"], hashes.extend)
    graph = Graph(HashParts(hashes))
    for name in _ARRAYS[1:]:
        values: array[int] = getattr(graph, name)
        _read(pieces, lengths[name] * values.itemsize, values.frombytes)
        if sys.byteorder == "big":
            values.byteswap()
    lines = pieces.take(lengths["links"]).decode().splitlines()
    pieces.end()
    _check(graph)
    return graph, {name: (int(etag, 16), target) for name, etag, target in (line.split(" ", 2) for line in lines)}


def _check(graph: Graph) -> None:
    """Fill in `starts`. Raises ValueError where the arrays do not fit together."""
    count = len(graph.etags)
    if not count == len(graph.archives) == len(graph.counts) == len(graph.hashes):
        raise ValueError("lengths differ")
    if max(graph.references, default=-1) >= count:
        raise ValueError("a reference to nothing")
    start = 0
    for each in graph.counts:
        graph.starts.append(start)
        start += each
    if start != len(graph.references):
        raise ValueError("counts do not fit")


def _read(pieces: _Pieces, size: int, add: Callable[[bytes], object]) -> None:
    """Read so many bytes, of which `add` gets some at once."""
    for start in range(0, size, _READ):
        add(pieces.take(min(_READ, size - start)))


def _parts(values: array[int]) -> Iterator[array[int]]:
    return (values[start : start + _PART] for start in range(0, len(values), _PART))


def _packed(values: array[int]) -> bytes:
    """In little endian. It may change the array."""
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
