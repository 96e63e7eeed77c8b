"""A runner packs and uploads a job's caches again when the job wrote something into them, and else never."""

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import gitlab, graphs, nix, product, programs, tools
from tests.harness.content_addressed import EXPRESSION, FEATURE
from tests.harness.gitlab import Outcome
from tests.harness.machine import Bind, Machine
from tests.harness.pipelines import PROJECT, PROTECTED, REPOSITORY, environment, pipeline, rewriting, runs, serve
from tests.harness.roots import RECENT

# Nix builds it in each job although it is in the cache, as it does nixpkgs' writeText.
LOCAL = """derivation {
  name = "local"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo >$out" ];
  preferLocalBuild = true; allowSubstitutes = false;
}"""


@dataclass
class Jobs:
    """Jobs in containers of their own, with the archives that the runner keeps in `kept`.

    They have this program from its repository, so that it and its packages are in the archives, too.
    """

    machine: MakeMachine
    kept: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""

    def run(self, expression: str) -> tuple[Machine, Outcome]:
        binds = [*product.binds(), *gitlab.binds()[:2], Bind(self.kept, gitlab.KEPT, writable=True)]
        made = self.machine(RECENT, [*binds, Bind(tools.program("uv"), "/usr/local/bin/uv")])
        nix.without_daemon(made)
        made.sh(f"echo '{FEATURE}' >>/etc/nix/nix.conf")
        self.commit = self.commit or serve(made)
        env = {**environment(), **rewriting(), "UV_OFFLINE": "1"}
        del env["RUNNER_TOOL_CACHE"]
        text = pipeline(inputs={"install": f"git+{REPOSITORY}@{self.commit}"})
        done = runs(made, text, self.variables, expression, env)
        assert done.returncode == 0, done.text
        return made, done

    def packed(self) -> dict[str, int]:
        """When each archive was packed."""
        return {path.name: path.stat().st_mtime_ns for path in self.kept.iterdir()}

    def content(self) -> dict[str, tuple[int, int]]:
        """The size and time, in whole seconds, of all that is in the archives, by name."""
        found: dict[str, tuple[int, int]] = {}
        for path in self.kept.iterdir():
            with tarfile.open(path) as archive:
                found |= {each.name: (each.size, int(each.mtime)) for each in archive}
                assert not any(each.issym() for each in archive), "many runners take each for a change"
        return found


def written(machine: Machine) -> dict[str, tuple[int, int]]:
    """The same of the directories of the project that are cached. A directory counts as empty, as in an archive."""
    paths = "$(ls -d tools protected-* unprotected 2>/dev/null | sed s,^,.nix-autocache/,)"
    shown = "-type d -printf '0 %T@ %p\\n' -o -printf '%s %T@ %p\\n'"
    lines = machine.sh(f"cd {PROJECT}/.nix-autocache; paths={paths}; cd ..; find $paths {shown}").stdout.splitlines()
    rows = [line.split(" ", 2) for line in lines]
    return {name: (int(size), int(float(when))) for size, when, name in rows}


@pytest.mark.parametrize(
    ("variables", "expression"), [({}, graphs.CHAIN), (PROTECTED, EXPRESSION)], ids=["unprotected", "protected"]
)
def test_a_job_that_built_nothing_leaves_its_caches_as_they_are(
    machine: MakeMachine, tmp_path: Path, variables: Mapping[str, str], expression: str
) -> None:
    jobs = Jobs(machine, tmp_path, variables)
    _, done = jobs.run(expression)
    assert "building '/nix/store/" in done.log
    packed, content = jobs.packed(), jobs.content()
    assert len(packed) == (2 if variables else 1)
    assert any(name.endswith(".narinfo") for name in content)
    assert any(name.endswith("nix_autocache/requirements/base.txt") for name in content)
    for _ in range(2):
        made, done = jobs.run(expression)
        assert "building '/nix/store/" not in done.log
        assert "copying path '/nix/store/" in done.log
        assert written(made) == content
        assert jobs.packed() == packed
    _, done = jobs.run(graphs.leaf("more"))
    assert "1 pushed" in done.log
    assert not set(packed.items()) & set(jobs.packed().items())
    assert set(jobs.content()) > set(content)


def test_a_build_of_what_is_in_the_cache_leaves_it_as_it_is(machine: MakeMachine, tmp_path: Path) -> None:
    jobs = Jobs(machine, tmp_path)
    jobs.run(LOCAL)
    packed, content = jobs.packed(), jobs.content()
    made, done = jobs.run(LOCAL)
    assert "building '/nix/store/" in done.log
    assert "0 pushed" in done.log
    assert written(made) == content
    assert jobs.packed() == packed


def test_uses_are_recorded_once_a_day(machine: MakeMachine, tmp_path: Path) -> None:
    jobs = Jobs(machine, tmp_path)
    made, _ = jobs.run(graphs.CHAIN)
    made.run(programs.shell("age_archives.sh", gitlab.KEPT))
    packed, content = jobs.packed(), jobs.content()
    jobs.run(graphs.CHAIN)
    assert jobs.packed() != packed
    changed = dict(set(jobs.content().items()) - set(content.items()))
    assert {Path(name).suffix for name in changed} == {".narinfo"}
    packed = jobs.packed()
    jobs.run(graphs.CHAIN)
    assert jobs.packed() == packed
