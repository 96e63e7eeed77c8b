"""Every path of every closure has exactly one outcome, on disk and in the report; and Nix agrees with it."""

import json
from pathlib import Path

from tests.conftest import MakeMachine
from tests.harness import binary_cache, graphs, nix, product
from tests.harness.job import Job
from tests.harness.roots import NEW, RECENT

ONE_OF_EACH = f"""
let {graphs.SHELL}
  theirs = sh "theirs" "echo theirs > $out";
  there = sh "there" "echo there ${{theirs}} > $out";
  left-out = sh "left-out" "echo > $out";
  altered = sh "altered" "echo > $out";
  ours = sh "ours" "echo ${{there}} ${{theirs}} > $out";
in {{
  inherit theirs there altered;
  all = [ ours (sh "needs-left-out" "echo ${{left-out}} ${{ours}} > $out")
          (sh "needs-altered" "echo ${{altered}} > $out") (sh "top" "echo ${{ours}} ${{there}} > $out") ];
}}
"""


def test_the_outcomes_are_exactly_the_paths_of_all_closures(machine: MakeMachine, tmp_path: Path) -> None:
    one = machine(RECENT, product.binds(tmp_path))
    nix.without_daemon(one)
    one.sh("nix-store --generate-binary-cache-key theirs-1 /root/theirs /root/theirs.pub")
    (theirs, there, altered) = (nix.build(one, f"({ONE_OF_EACH}).{name}") for name in ("theirs", "there", "altered"))
    one.run(["nix", "store", "sign", "--key-file", "/root/theirs", theirs])
    job = Job(one, inputs={"upstream-keys": one.read("/root/theirs.pub").strip(), "exclude": "^left-"})
    assert "1 pushed, 1 upstream" in job.run("push", there).stderr
    one.sh(f"chmod u+w {altered}; echo evil > {altered}")
    job.run("setup")
    outputs = nix.build(one, f"({ONE_OF_EACH}).all").split()
    said = job.run("flush").stderr
    closure = one.run(["nix-store", "--query", "--requisites", *outputs]).stdout.split()
    assert job.outcomes() == {
        "theirs": "upstream", "there": "present", "ours": "pushed", "top": "pushed", "left-out": "skipped",
        "needs-left-out": "skipped", "altered": "failed", "needs-altered": "failed",
    }  # fmt: skip
    assert set(job.outcomes()) == {binary_cache.name_of(path) for path in closure}
    rows = [json.loads(line) for line in one.read(f"{job.directory()}/queue/outcomes.jsonl").splitlines()]
    settled = [row["path"] for row in rows if row["outcome"] != "failed"]
    assert len(settled) == len(set(settled)), "only what failed is tried again"
    assert "2 pushed, 1 already there, 1 upstream, 2 skipped, 2 NOT pushed" in said


def test_nix_copy_finds_ours_already_there(machine: MakeMachine) -> None:
    one = machine(NEW, product.binds())
    nix.without_daemon(one)
    path = nix.build(one, f"({graphs.CHAIN}).top")
    Job(one, inputs={"cache": "file:///root/cache", "signing-key": Job(one).keygen()}).run("push", path)
    listing = "cd /root/cache; find . -type f -printf '%p %i %T@\\n' | sort"
    before = one.sh(listing).stdout
    assert before.count(".narinfo") == 4
    one.run(["nix", "copy", "--to", "file:///root/cache", path])
    assert one.sh(listing).stdout == before
