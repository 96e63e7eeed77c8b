"""Fixtures of all tests: the three Nix generations, and machines that end with the test.

Machines need root; without it the tests that ask for one are skipped, which `make test` never lets happen.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack

import pytest

from tests.harness import actions_cache, roots, soak
from tests.harness.actions_cache import Actions
from tests.harness.machine import Bind, Machine
from tests.harness.roots import GENERATIONS, OLD, Generation

MakeMachine = Callable[..., Machine]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what tests marked `every_value` try under `make soak` only."""
    tables: dict[str, soak.Table] = defaultdict(soak.Table)
    marked = [item for item in items if item.get_closest_marker("every_value")]
    for item in marked:
        tables[_name(item)].add(*_values(item))
    left_out = {item for item in marked if not tables[_name(item)].tries(*_values(item))}
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _name(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _values(item: pytest.Item) -> Collection[object]:
    assert isinstance(item, pytest.Function)
    return item.callspec.params.values()


@pytest.fixture(params=GENERATIONS, ids=str)
def nix_generation(request: pytest.FixtureRequest) -> Generation:
    """Each of the three in turn."""
    assert isinstance(request.param, Generation)
    return request.param


@pytest.fixture(scope="module")
def running_actions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Actions]:
    with actions_cache.in_thread(tmp_path_factory.mktemp("azurite")) as actions:
        yield actions


@pytest.fixture
def actions(running_actions: Actions) -> Actions:
    """The emulator of GitHub's cache service as it is at the start, without entries."""
    running_actions.control(**{**actions_cache.START, "evict": ""})
    return running_actions


@pytest.fixture
def machine() -> Iterator[MakeMachine]:
    """Makes running machines: `machine(generation, binds=…, nix=…, share_network_with=…)`."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("machines are made of Linux namespaces by root: run `make test`")
    with ExitStack() as stack:

        def make(
            generation: Generation = OLD,
            binds: Sequence[Bind] = (),
            nix: bool = True,
            share_network_with: Machine | None = None,
        ) -> Machine:
            made = stack.enter_context(Machine(roots.root(generation), binds, share_network_with))
            if not nix:
                made.remove_nix()
            return made

        yield make
