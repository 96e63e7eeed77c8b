"""Our signature is on paths that Nix vouches for, and on nothing that somebody slipped into the store."""

from pathlib import Path

from tests.conftest import MakeMachine
from tests.harness import binary_cache, graphs, nix, product
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import Generation


def slipped_in(machine: Machine, name: str) -> str:
    """A path of the archive in /tmp/archive: it was built, and Nix does not know it any more."""
    path = nix.build(machine, graphs.leaf(name))
    machine.sh(f"nix-store --export {path} >/tmp/archive; nix-store --delete {path}")
    return path


def test_a_path_imported_without_signature_is_not_signed_and_neither_is_what_depends_on_it(
    machine: MakeMachine, nix_generation: Generation, tmp_path: Path
) -> None:
    one = Job(machine(nix_generation, product.binds(tmp_path)))
    nix.with_daemon(one.machine)
    path = slipped_in(one.machine, "slipped-in")
    one.run("setup")
    one.machine.sh(f"{nix.NEXT_SECOND}; nix-store --import </tmp/archive")
    nix.build(one.machine, graphs.using(path))
    nix.build(one.machine, graphs.leaf("honest"))
    said = one.run("finish").stderr
    assert f"NOT pushed: {path}: it was imported without a signature that Nix trusts" in said, said
    assert set(binary_cache.narinfos(tmp_path / "cache")) == {"honest", "source"}


def test_what_was_in_the_store_before_the_job_is_the_machines_own(machine: MakeMachine, tmp_path: Path) -> None:
    one = Job(machine(binds=product.binds(tmp_path)))
    nix.without_daemon(one.machine)
    path = slipped_in(one.machine, "there-before")
    one.machine.sh("nix-store --import </tmp/archive")
    one.run("setup")
    nix.build(one.machine, graphs.using(path))
    one.run("finish")
    assert set(binary_cache.narinfos(tmp_path / "cache")) == {"there-before", "source", "using"}


def test_what_nobody_vouches_for_is_not_signed_because_it_is_in_the_cache(machine: MakeMachine, tmp_path: Path) -> None:
    """Somebody who can write the cache put it there, without a signature, and had the job import it."""
    one = Job(machine(binds=product.binds(tmp_path)))
    nix.with_daemon(one.machine)
    path = nix.build(one.machine, graphs.leaf("slipped-in"))
    one.machine.sh(f"nix copy --to file://{product.DATA}/cache {path}")
    path = slipped_in(one.machine, "slipped-in")
    one.run("setup")
    one.machine.sh(f"{nix.NEXT_SECOND}; nix-store --import </tmp/archive")
    nix.build(one.machine, graphs.using(path))
    assert f"NOT pushed: {path}: it was imported without a signature" in one.run("finish").stderr
    assert "Sig" not in binary_cache.narinfos(tmp_path / "cache")["slipped-in"]
