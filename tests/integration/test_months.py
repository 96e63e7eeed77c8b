"""A drain that runs for months tries failed paths again, and does not grow."""

from tests.conftest import MakeMachine
from tests.harness import graphs, nix, product, programs
from tests.harness.job import Job
from tests.harness.roots import RECENT


def test_what_failed_is_tried_again_without_a_flush_and_then_forgotten(machine: MakeMachine) -> None:
    one = machine(RECENT, product.binds())
    nix.without_daemon(one)
    paths = [nix.build(one, graphs.leaf(name)) for name in ("first", "second")]
    Job(one).run("--version")
    said = one.run(programs.python("months.py", *paths), env=product.environment()).stdout
    assert said.splitlines()[-2:] == ["pushed 2", "pushed again"]
