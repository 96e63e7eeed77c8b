"""The cache server of act, which lives as long as a run: here a run that waits until the test is done with it."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.act import ACT, NODE, cache_server, git_project
from tests.harness.machine import PATH, Machine
from tests.harness.waiting import wait_for

PROJECT = "/tmp/act-cache"
ENDPOINT = f"{PROJECT}/variables"
WORKFLOW = f"""
on: push
jobs:
  wait:
    runs-on: ubuntu-latest
    steps:
      - run: |
          env | grep ^ACTIONS_ >{ENDPOINT}.new
          mv {ENDPOINT}.new {ENDPOINT}
          while [ -e {ENDPOINT} ]; do sleep 0.1; done
"""
OPTIONS = ("--json", "--rm", "-P", "ubuntu-latest=-self-hosted")


@contextmanager
def act_cache(machine: Machine) -> Iterator[dict[str, str]]:
    """The variables that act gives to a step of a job, of which the Actions cache is opened."""
    git_project(machine, PROJECT, {".github/workflows/wait.yml": WORKFLOW})
    command = [ACT, "push", *OPTIONS, *cache_server(f"{PROJECT}-entries"), "--artifact-server-addr", "127.0.0.1"]
    with machine.start(command, env={"PATH": f"{NODE}:{PATH}"}, cwd=PROJECT) as process:
        wait_for(lambda: machine.exists(ENDPOINT) or not process.running(), "a step of act", 60)
        assert process.running(), process.text()
        yield dict(line.split("=", 1) for line in machine.read(ENDPOINT).splitlines())
        machine.run(["rm", ENDPOINT])
        wait_for(lambda: not process.running(), "the end of act", 60)
