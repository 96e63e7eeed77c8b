"""The main job on all three generations of Nix: what is built is in the cache, and comes back from it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import binary_cache, graphs, nix, product
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import NEW, RECENT, Generation
from tests.harness.waiting import wait_for


def build(job: Job, expression: str, *arguments: str, check: bool = True) -> str:
    command = ["nix-build", "--no-out-link", "--expr", expression, *arguments]
    done = job.machine.run(command, check=check)
    return done.stdout + done.stderr


@pytest.fixture(params=["without daemon", "with daemon"])
def prepare(request: pytest.FixtureRequest) -> Callable[[Machine], object]:
    return nix.with_daemon if request.param == "with daemon" else nix.without_daemon


@pytest.mark.every_value
def test_the_runtime_and_build_time_closure_come_back_with_signatures_required(
    machine: MakeMachine, nix_generation: Generation, prepare: Callable[[Machine], object], tmp_path: Path
) -> None:
    first = Job(machine(nix_generation, product.binds(tmp_path)))
    prepare(first.machine)
    first.run("setup")
    build(first, graphs.CHAIN, "-A", "top", "-A", "first")
    first.run("finish")
    assert set(binary_cache.narinfos(tmp_path / "cache")) == {
        "zero", "one", "two", "tool", "top", "multiple-first", "multiple-second",
    }  # fmt: skip
    assert not binary_cache.missing(tmp_path / "cache")

    second = Job(machine(nix_generation, product.binds(tmp_path)), inputs={"push": "never"})
    prepare(second.machine)
    second.run("setup")
    attributes = [word for name in graphs.CHAIN_ATTRIBUTES for word in ("-A", name)]
    said = build(second, graphs.CHAIN, "--max-jobs", "0", *attributes)
    assert said.count("copying path ") == 7
    second.machine.run(["nix-store", "--verify", "--check-contents"])


def test_nix_copy_takes_what_was_uploaded_and_finds_it_sound(
    machine: MakeMachine, nix_generation: Generation, tmp_path: Path
) -> None:
    first = Job(machine(nix_generation, product.binds(tmp_path)))
    nix.without_daemon(first.machine)
    first.run("setup")
    path = nix.build(first.machine, graphs.leaf("checked"))
    first.run("finish")

    second = machine(nix_generation, product.binds(tmp_path))
    nix.without_daemon(second)
    key = (tmp_path / "signing-key.pub").read_text()
    copy = ["nix", "copy", "--from", f"file://{product.DATA}/cache", path]
    refused = second.run(copy, check=False)
    assert refused.returncode
    assert "signature" in refused.stderr
    second.run([*copy, "--option", "trusted-public-keys", key])
    second.run(["nix", "store", "verify", "--option", "trusted-public-keys", key, path])
    second.run(["nix-store", "--verify-path", path])


def test_the_finished_dependencies_of_a_failed_build_are_in_the_cache(machine: MakeMachine, tmp_path: Path) -> None:
    one = Job(machine(binds=product.binds(tmp_path)))
    nix.without_daemon(one.machine)
    one.run("setup")
    assert "bad.drv' failed" in build(one, graphs.FAILING, check=False)
    one.run("finish")
    assert set(binary_cache.narinfos(tmp_path / "cache")) == {"good", "better"}


NESTED = f"""
let {graphs.SHELL}
  imported = sh "imported" "echo '\\"from-import\\"' > $out";
in sh (import imported) "echo nested > $out"
"""


def test_builds_that_nobody_names_are_in_the_cache(machine: MakeMachine, tmp_path: Path) -> None:
    """By import from derivation, by a script that calls nix-build, by a shell that was entered."""
    one = Job(machine(binds=product.binds(tmp_path)))
    nix.without_daemon(one.machine)
    one.run("setup")
    build(one, NESTED)
    one.machine.write("/root/leaf.nix", graphs.leaf("by-script"))
    one.machine.write("/root/script", "#!/bin/sh\nnix-build --no-out-link /root/leaf.nix\n", mode=0o755)
    one.machine.write(
        "/root/shell.nix", f'let {graphs.SHELL} in sh "entered" "" // {{ dep = sh "in-shell" "echo > $out"; }}'
    )
    one.machine.run(["/root/script"])
    one.machine.sh("sh -c 'sh -c \"nix-build --no-out-link /root/shell.nix -A dep\"'")
    one.run("finish")
    assert set(binary_cache.narinfos(tmp_path / "cache")) == {"imported", "from-import", "by-script", "in-shell"}


def test_builds_are_in_the_cache_without_a_flush(machine: MakeMachine, tmp_path: Path) -> None:
    one = Job(machine(binds=product.binds(tmp_path)))
    nix.without_daemon(one.machine)
    one.run("setup")
    build(one, graphs.leaf("early"))
    build(one, graphs.leaf("late"))
    wait_for(lambda: set(binary_cache.narinfos(tmp_path / "cache")) == {"early", "late"}, "both in the cache")
    wait_for(lambda: len(one.outcomes()) == 2, "both outcomes")
    assert one.outcomes() == {"early": "pushed", "late": "pushed"}
    assert "2 pushed" in one.run("finish").stderr


def test_a_killed_uploader_loses_nothing(machine: MakeMachine, tmp_path: Path) -> None:
    one = Job(machine(binds=product.binds(tmp_path)))
    nix.without_daemon(one.machine)
    one.run("setup")
    building = one.machine.start(["nix-build", "--no-out-link", "--expr", graphs.layered(6, 10)])
    wait_for(lambda: any((tmp_path / "cache").glob("*.narinfo")), "the first upload")
    one.kill_uploader()
    assert building.wait() == 0, building.text()
    assert not binary_cache.missing(tmp_path / "cache")
    said = one.run("finish").stderr
    assert "no uploader is alive" in said
    assert len(binary_cache.narinfos(tmp_path / "cache")) == 60
    assert not binary_cache.missing(tmp_path / "cache")


@pytest.mark.parametrize("generation", [RECENT, NEW], ids=str)  # 2.8 does not tell the hook what to protect
def test_a_collection_while_the_uploader_is_dead_takes_nothing_that_waits(
    machine: MakeMachine, generation: Generation, tmp_path: Path
) -> None:
    one = Job(machine(generation, product.binds(tmp_path)))
    nix.without_daemon(one.machine)
    one.run("setup")
    one.kill_uploader()
    path = build(one, graphs.leaf("wanted")).split()[0]
    other = nix.build(one.machine, graphs.leaf("unwanted"))
    one.machine.sh(f"rm -f /nix/var/nix/gcroots/nix-autocache/local/{other.rpartition('/')[2]}; nix-collect-garbage")
    assert not one.machine.exists(other)
    assert one.machine.exists(path)
    one.run("finish")
    assert "wanted" in binary_cache.narinfos(tmp_path / "cache")


def test_undo_leaves_nothing_but_the_cache(machine: MakeMachine, tmp_path: Path) -> None:
    one = Job(machine(binds=product.binds(tmp_path)))
    nix.with_daemon(one.machine)
    skipped = " -o ".join(f"-path {path} -prune" for path in ("/proc", "/nix/store", "/nix/var/log", "/root/.cache"))
    listing = f"find / -xdev {skipped} -o -print | sort"
    before = one.machine.sh(listing).stdout
    configuration = one.machine.read("/etc/nix/nix.conf")
    one.run("setup")
    build(one, graphs.leaf("something"))
    one.run("finish")
    one.run("undo")
    after = one.machine.sh(listing).stdout
    new = [line for line in after.splitlines() if line not in before.splitlines()]
    assert not [line for line in new if "autocache" in line and not line.startswith((product.DATA, product.TOOL_CACHE))]
    assert one.machine.read("/etc/nix/nix.conf") == configuration
