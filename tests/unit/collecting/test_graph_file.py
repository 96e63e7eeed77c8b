"""The graph as an object: what it keeps, in how much memory, and that a damaged one counts as none."""

import json
import random
import tracemalloc
from collections.abc import Mapping

import pytest

from nix_autocache.caches.run_codec import CONTENT_TYPE
from nix_autocache.collecting import graph_file
from nix_autocache.collecting.graph import Graph, number_of
from nix_autocache.collecting.graph_file import NAME, GraphFile
from nix_autocache.nix.unpack import unpacked
from nix_autocache.nix.zstd import zstd
from tests.harness.memory_store import MemoryStore

LINKS = {"realisations/sha256:0!out.doi": (5, "0" * 32), "debuginfo/ab": (6, "nar/x.nar.zst")}


def some_graph(seed: int, count: int) -> tuple[Graph, bytearray]:
    """Some of its paths are there, and refer to others that are there or not."""
    chosen, graph = random.Random(seed), Graph()
    hashes = [chosen.getrandbits(160) for _ in range(count)]
    present = bytearray()
    for each in hashes:
        references = chosen.sample(hashes, chosen.randint(0, min(count, 9)))
        graph.set(graph.add(each), chosen.getrandbits(64), chosen.getrandbits(64), references)
    present.extend(chosen.randint(0, 1) for _ in range(len(graph)))
    return graph, present


def said(graph: Graph, present: bytearray) -> dict[str, tuple[int, int, set[str]]]:
    """What the narinfos that are there say."""
    return {
        graph.hash_part(path): (
            graph.etags[path],
            graph.archives[path],
            set(map(graph.hash_part, graph.refers_to(path))),
        )
        for path, there in enumerate(present)
        if there
    }


def saved(content: bytes) -> MemoryStore:
    store = MemoryStore()
    store.put(NAME, content, CONTENT_TYPE)
    return store


@pytest.mark.parametrize("seed", range(20))
def test_what_is_there_is_kept_and_nothing_else(seed: int) -> None:
    graph, present = some_graph(seed, random.Random(seed).choice([0, 1, 30, 300]))
    file = GraphFile(graph, present, LINKS)
    content = b"".join(file)
    assert content == b"".join(file), "a put that is tried again iterates twice"
    found, links = graph_file.read(saved(content))
    before = said(graph, present)
    assert links == LINKS
    assert said(found, bytearray(each > 0 for each in found.etags)) == before
    needed = before.keys() | {part for _, _, references in before.values() for part in references}
    assert {found.hash_part(path) for path in range(len(found))} == needed
    assert all(found.hashes.find(number_of(found.hash_part(path))) == path for path in range(len(found)))


def damaged(head: Mapping[str, object], rest: bytes) -> bytes:
    return zstd.compress(json.dumps(head).encode() + b"\n" + rest)


def test_a_damaged_one_counts_as_none() -> None:
    content = b"".join(GraphFile(*some_graph(1, 40), LINKS))
    line, _, rest = b"".join(unpacked("zstd", [content])).partition(b"\n")
    head = json.loads(line)
    assert len(graph_file.read(saved(damaged(head, rest)))[0]) > 0
    wrong = [content[:cut] for cut in range(0, len(content), 7)]
    wrong += [damaged(head, rest[:cut]) for cut in range(0, len(rest), 7)]
    wrong += [damaged(head, rest + b"x"), damaged(head, bytes(len(rest))), damaged(head, b"\xff" * len(rest))]
    wrong += [zstd.compress(b"x" * 10_000), zstd.compress(b"[]\n"), zstd.compress(b"")]
    values: tuple[object, ...] = (-1, 2, 1 << 40, None, "x", [])
    for name in head:
        wrong += [damaged({**head, name: value}, rest) for value in values]
        wrong.append(damaged({key: value for key, value in head.items() if key != name}, rest))
    for each in wrong:
        found, links = graph_file.read(saved(each))
        assert (len(found), links) == (0, {})


def test_writing_and_reading_take_little_memory_beside_the_graph() -> None:
    graph, present = some_graph(0, 40_000)
    file = GraphFile(graph, present, {})
    size = sum(map(len, unpacked("zstd", iter(file))))
    tracemalloc.start()
    try:
        assert max(map(len, file)) < 1 << 20
        assert tracemalloc.get_traced_memory()[1] < 0.8 * size, "the new numbers, and pieces of a fixed size"
        store = saved(b"".join(file))
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        found = graph_file.read(store)
        after, peak = tracemalloc.get_traced_memory()
        assert len(found[0]) > 30_000
        assert peak - before < 1.4 * (after - before), "the graph, and pieces of a fixed size"
    finally:
        tracemalloc.stop()
