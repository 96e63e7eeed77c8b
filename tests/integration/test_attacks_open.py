"""Attacks in an open job, as the report calls it: some succeed, and every one of these was reported as possible."""

import json
import re
from pathlib import Path

from tests.harness import graphs, sealing
from tests.harness.attacks import prepare
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.nix import NEXT_SECOND
from tests.harness.sealing import NOT_SOLVED

COMMANDS = [
    "::set-output name=x::y",
    " \t::add-mask::x",
    "##[add-path]/evil",
    "text ##[set-env name=A;]b",
    "\u2028::stop-commands::x",
    "![x](https://evil.example/x.png) [sign in again](https://evil.example) @everybody",
    "`</code><h1>x</h1>`",
    "\n\n# heading\n",
]
# A build whose log is the same, which Nix prints in the step that builds.
TALKING = f"""let {graphs.SHELL} in sh "talking" "echo '::set-output name=x::y'; exit 1" """


def test_a_path_that_was_never_built_gets_signed_and_the_report_has_said_that_it_could(tmp_path: Path) -> None:
    """With root, or with the job's own user where the queue is theirs, an entry is as good as the hook's."""
    with sealing.job(tmp_path, prepare=prepare, inputs={"harden": "false"}) as opened:
        said = opened.job.said("setup")
        assert f"{NOT_SOLVED}the job's user can become root" in said, said
        path = opened.machine.read("/tmp/slipped")
        opened.job.sh(f"{NEXT_SECOND}; nix-store --import </tmp/archive")
        entry = f"{opened.job.directory()}/queue/new/{path.rpartition('/')[2]}.drv"
        opened.job.sh(f"printf '%s\\n.\\n' {path} >{entry}")
        opened.job.run("finish")
        assert "slipped-in" in opened.cached()


def forge(machine: Machine, directory: str) -> None:
    """Outcomes as nobody of ours writes them."""
    rows = [
        {"path": f"/nix/store/{number}{text}", "outcome": "failed", "bytes": 0, "reason": f"first line\n{text}\r{text}"}
        for number, text in enumerate(COMMANDS)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    machine.write(f"{directory}/queue/outcomes.jsonl", lines, owner="runner")


def test_nothing_that_others_wrote_is_taken_for_a_command_of_the_host(tmp_path: Path) -> None:
    with sealing.job(tmp_path, inputs={"harden": "false"}) as opened:
        summary = {"GITHUB_STEP_SUMMARY": "/home/runner/summary"}
        job = Job(opened.machine, "runner", opened.job.inputs, name="job", env=summary)
        job.run("setup")
        opened.machine.write("/tmp/talking.nix", TALKING)
        job.sh("nix-build --no-out-link /tmp/talking.nix", check=False)
        directory = opened.job.directory()
        forge(opened.machine, directory)
        said = job.said("finish")
        shown = opened.machine.read(summary["GITHUB_STEP_SUMMARY"])
    assert shown.count("- `/nix/store/") == len(COMMANDS)
    assert not re.search(r"[<>\[\]!@]|^(# |::)|##\[", re.sub("`[^`\n]+`", "", shown), re.MULTILINE)
    assert said.count("NOT pushed: /nix/store/") == len(COMMANDS)
    ours = ("::group::", "::endgroup::", "::warning title=nix-autocache::", "::notice title=nix-autocache::")
    commands = [line for line in said.splitlines() if line.strip().startswith("::") and not line.startswith(ours)]
    assert commands == []
    assert "##[" not in said
