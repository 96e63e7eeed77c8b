"""Store paths of any size that refer to each other in any way, made in milliseconds instead of by builds.

Each shape is a list of `Node`s; references are numbers of earlier nodes.
"""

import json
import random
from dataclasses import dataclass

from tests.harness import product, programs
from tests.harness.machine import Machine

SMALL = 1024  # bytes


@dataclass(frozen=True)
class Node:
    name: str
    size: int = SMALL
    references: tuple[int, ...] = ()


def independent(count: int, prefix: str = "one") -> list[Node]:
    return [Node(f"{prefix}-{number}") for number in range(count)]


def chain(length: int, prefix: str = "link") -> list[Node]:
    return [Node(f"{prefix}-{number}", SMALL, (number - 1,) if number else ()) for number in range(length)]


def layers(count: int, width: int, prefix: str = "layer") -> list[Node]:
    """Each refers to two of the layer below."""
    made = []
    for number in range(count * width):
        layer, column = divmod(number, width)
        below = (layer - 1) * width
        references = (below + column, below + (column + 1) % width) if layer else ()
        made.append(Node(f"{prefix}-{layer}-{column}", SMALL, references))
    return made


def random_dag(count: int, total: int, largest: int = 20_000_000, prefix: str = "dag") -> list[Node]:
    """Sizes from 1 KB to `largest` bytes, spread over the logarithm and scaled to `total`; up to four references,
    most of them to recent nodes. The same each time."""
    generator = random.Random(count)
    drawn = [SMALL * (largest / SMALL) ** (generator.random() ** 1.3) for _ in range(count - 1)]
    scale = (total - largest) / sum(drawn)
    sizes = [max(SMALL, min(largest, int(size * scale))) for size in drawn]
    sizes.insert(count // 2, largest)
    made = []
    for number, size in enumerate(sizes):
        wanted = generator.randint(0, 4) if number else 0
        references = {max(0, number - 1 - int(generator.expovariate(0.05))) for _ in range(wanted)}
        made.append(Node(f"{prefix}-{number}", size, tuple(sorted(references))))
    return made


def make(machine: Machine, nodes: list[Node]) -> list[str]:
    """The store paths, in the nodes' order."""
    program = programs.python("make_graph.py", "/root/registration")
    asked = json.dumps([[node.name, node.size, node.references] for node in nodes])
    made = machine.run(program, env=product.environment(), stdin=asked, timeout=300)
    machine.sh("nix-store --load-db < /root/registration", timeout=120)
    return made.stdout.split()
