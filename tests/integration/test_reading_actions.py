"""Jobs with the cache that GitHub keeps: what one pushes the next fetches, in few calls, whatever the service does.

Setup, uploader, read proxy and Nix are those of a job; the service is the emulator.
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import actions_cache, graphs, nix, product
from tests.harness.actions_cache import READ, WRITE, Actions
from tests.harness.commands import Completed
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import NEW
from tests.harness.waiting import wait_for

MAIN, PULL = "refs/heads/main", "refs/pull/7/merge"
FIND, CREATE, FINALIZE = "GetCacheEntryDownloadURL", "CreateCacheEntry", "FinalizeCacheEntryUpload"
EVENT = "/etc/event.json"
GRAPH = f"[ ({graphs.chain(4)}) ({graphs.leaf('other')}) ]"
NAMES = {"link-0", "link-1", "link-2", "link-3", "other"}


@dataclass(frozen=True)
class Hosted:
    """The service, and machines of one repository's jobs, which are new for each job."""

    actions: Actions
    first: Machine
    make: Callable[[], Machine]

    def job(self, ref: str = MAIN, scopes: Mapping[str, int] | None = None, **inputs: str) -> Job:
        made = self.make()
        nix.without_daemon(made)
        made.write(EVENT, json.dumps({"repository": {"default_branch": "main", "full_name": "o/r"}, **PULL_REQUEST}))
        own = {ref: READ | WRITE} if ref == MAIN else {ref: READ | WRITE, MAIN: READ}
        env = {
            **self.actions.env(own if scopes is None else scopes),
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_REF": ref,
            "GITHUB_BASE_REF": "" if ref == MAIN else "main",
            "GITHUB_WORKFLOW": "ci",
            "GITHUB_EVENT_PATH": EVENT,
            "GITHUB_EVENT_NAME": "push" if ref == MAIN else "pull_request",
            "GITHUB_RUN_ID": "1",
        }
        return Job(made, inputs={name.replace("_", "-"): text for name, text in inputs.items()}, env=env, name="build")

    def calls(self) -> dict[str, int]:
        """Calls of the service since the last time, by their names; `blobs` are downloads."""
        calls = self.actions.control()["calls"]
        self.actions.control(calls={})
        return {**{name: calls.get(name, 0) for name in (FIND, CREATE, FINALIZE)}, "blobs": calls.get("GET blob", 0)}

    def evict(self, key: str) -> None:
        self.actions.control(evict=key)

    @property
    def keys(self) -> Sequence[str]:
        keys: list[str] = self.actions.control()["keys"]
        return keys


PULL_REQUEST = {"pull_request": {side: {"repo": {"full_name": "o/r"}} for side in ("head", "base")}}


@pytest.fixture
def hosted(machine: MakeMachine, tmp_path: Path) -> Iterator[Hosted]:
    first = machine(NEW, product.binds())
    with actions_cache.in_machine(first, tmp_path) as actions:
        yield Hosted(actions, first, lambda: machine(NEW, product.binds(), share_network_with=first))


def build(job: Job, expression: str) -> Completed:
    return job.sh(f"nix-build --no-out-link --expr '{expression}'")


def built(done: Completed) -> set[str]:
    return set(re.findall(r"building '/nix/store/\w{32}-(\S+)\.drv'", done.stderr))


def run(job: Job, expression: str = GRAPH) -> tuple[set[str], str]:
    """A whole job; the names of what it built, and all that it said."""
    said = job.said("setup")
    done = build(job, expression)
    job.sh(f"nix-store --verify-path {done.stdout.replace(chr(10), ' ')}")
    said += job.said("finish")
    wait_for(lambda: not job.uploaders(), "the end of the uploader")
    return built(done), said


def calls(counted: Mapping[str, int]) -> int:
    return sum(counted[name] for name in (FIND, CREATE, FINALIZE))


def test_the_next_machine_builds_nothing_and_each_job_makes_few_calls(hosted: Hosted) -> None:
    graph = f"({graphs.independent(100)}) ++ ({graphs.layered(4, 5)}) ++ [ ({graphs.BIG}) ]"
    names, said = run(hosted.job(), graph)
    assert len(names) == 121
    assert "121 pushed" in said
    cold = hosted.calls()
    assert calls(cold) <= 7, cold
    assert cold[CREATE] == 1, cold
    names, said = run(hosted.job(), graph)
    assert names == set()
    warm = hosted.calls()
    assert calls(warm) <= 3, warm
    assert warm[CREATE] == 0, warm
    assert warm["blobs"] <= 5, warm


def again(job: Job) -> Job:
    """The next job on the same machine, whose store and memory are empty."""
    ours = "/var/lib/nix-autocache /nix/var/nix/gcroots/nix-autocache"
    job.machine.sh(f"rm -rf {ours} /root/.cache/nix; nix-store --gc >/dev/null 2>&1")
    return job


def test_ranges_of_a_pack_are_asked_for_once_whatever_nix_asks_for(hosted: Hosted) -> None:
    one = hosted.job()
    noise = random.Random(7)
    for number in range(40):
        one.machine.write(f"/etc/noise/{number}", noise.randbytes(number * 60_000))
    one.run("setup")
    text = 'echo ${/etc/noise + "/${toString n}"} > $out'
    done = build(one, f'let {graphs.SHELL} in builtins.genList (n: sh "noise-${{toString n}}" "{text}") 40')
    said = one.said("finish")
    assert "80 pushed; 46." in said
    hosted.calls()
    other = hosted.job()
    other.run("setup")
    other.sh(f"nix-store --realise {' '.join(done.stdout.split())} && nix-store --verify --check-contents")
    other.run("finish")
    warm = hosted.calls()
    assert calls(warm) <= 3, warm
    assert warm["blobs"] <= 2 + 3, "the index, and three ranges"


def test_a_pull_request_reads_its_base_and_looks_up_each_branch_once(hosted: Hosted) -> None:
    run(hosted.job(), GRAPH)
    hosted.calls()
    more = f"({GRAPH}) ++ [ ({graphs.leaf('new')}) ]"
    names, said = run(hosted.job(PULL), more)
    assert names == {"new"}
    assert "1 pushed" in said
    cold = hosted.calls()
    assert calls(cold) <= 9, cold
    names, _ = run(hosted.job(PULL), more)
    assert names == set()
    warm = hosted.calls()
    assert (calls(warm) <= 6, warm[CREATE]) == (True, 0), warm
    names, _ = run(hosted.job(), more)
    assert names == {"new"}, "main reads nothing of a pull request"


def test_what_was_evicted_is_built_with_what_refers_to_it(hosted: Hosted) -> None:
    run(hosted.job(), graphs.chain(2))
    (first,) = hosted.keys
    one = hosted.job()
    names, _ = run(one, GRAPH)
    assert names == NAMES - {"link-0", "link-1"}
    (second,) = set(hosted.keys) - {first}
    hosted.evict(second)  # the newest index, too: the older one is found
    names, _ = run(again(one), f"[ ({graphs.chain(2)}) ]")
    assert names == set()
    hosted.evict(first)
    names, said = run(again(one), GRAPH)
    assert names == NAMES
    assert "5 pushed" in said


def test_a_pack_that_goes_while_nix_reads_is_built(hosted: Hosted) -> None:
    """It was there when its index was read."""
    run(hosted.job())
    hosted.calls()
    job = hosted.job()
    job.run("setup")
    wait_for(lambda: hosted.actions.control()["calls"].get("GET blob", 0) >= 2, "the index")
    hosted.evict("")
    assert built(build(job, GRAPH)) == NAMES
    assert "5 pushed" in job.said("finish")


TROUBLES: Mapping[str, Mapping[str, object]] = {
    "links expire": {"faults": [{"of": "GET blob", "after": 2, "times": 1, "status": 403}]},
    "a range breaks off": {"faults": [{"of": "GET blob", "after": 2, "times": 2, "cut": 500}]},
    "ranges are ignored": {"faults": [{"of": "GET blob", "times": 1000, "whole": True}]},
    "too many calls": {"faults": [{"of": FIND, "times": 1, "status": 429, "retry_after": 1}]},
    "a bad gateway": {"faults": [{"of": "", "times": 2, "status": 502}]},
    "far away": {"latency": 0.5},
}
BAD: Mapping[str, Mapping[str, object]] = {
    "no link is valid": {"download_link": -60},
    "every range breaks off": {"faults": [{"of": "GET blob", "times": 1000, "cut": 10}]},
    "too many calls for long": {"faults": [{"of": FIND, "times": 1000, "status": 429, "retry_after": 60}]},
    "reading is denied": {"denied": ["read"]},
}


def test_what_a_service_does_for_a_moment_nix_does_not_notice(hosted: Hosted) -> None:
    one = hosted.job()
    run(one)
    for name, trouble in TROUBLES.items():
        hosted.actions.control(**{**actions_cache.START, **trouble})
        names, said = run(again(one))
        assert names == set(), (name, said)


def test_a_service_that_cannot_be_read_is_as_none(hosted: Hosted) -> None:
    """Nix builds, nothing hangs, and the end of the job says so if it has something to say."""
    one = hosted.job(flush_timeout="5")
    run(one)
    for name, trouble in BAD.items():
        hosted.actions.control(**{**actions_cache.START, **trouble})
        names, _ = run(again(one))
        assert names == NAMES, name


def test_a_service_that_is_gone_is_one_warning(hosted: Hosted) -> None:
    job = hosted.job(flush_timeout="20")
    gone = Job(job.machine, inputs=job.inputs, env={**job.env, "ACTIONS_RESULTS_URL": "http://127.0.0.1:9/"}, name="x")
    names, said = run(gone)
    assert names == NAMES
    assert said.count("::warning") == 1, said


def test_a_token_that_cannot_write_after_all_is_one_warning(hosted: Hosted) -> None:
    hosted.actions.control(denied=["write"])
    names, said = run(hosted.job())
    assert names == NAMES
    (warning,) = (line for line in said.splitlines() if "::warning" in line)
    assert "not pushed: /nix/store/" in warning
    assert "no writable scopes" in warning
    assert hosted.calls()[CREATE] == 1
    job = hosted.job(on_upload_failure="fail")
    job.run("setup")
    build(job, GRAPH)
    assert job.run("finish", check=False).returncode == 1


def test_a_job_that_only_pulls_reads_and_writes_nothing(hosted: Hosted) -> None:
    run(hosted.job())
    hosted.calls()
    names, _ = run(hosted.job(push="never"))
    assert names == set()
    job = hosted.job(push="never")
    names, _ = run(job, f"({GRAPH}) ++ [ ({graphs.leaf('new')}) ]")
    assert names == {"new"}
    assert hosted.calls()[CREATE] == 0


def test_with_a_signing_key_only_what_it_signed_is_read(hosted: Hosted) -> None:
    key = Job(hosted.first).keygen()
    run(hosted.job(), graphs.leaf("other"))
    names, said = run(hosted.job(signing_key=key), GRAPH)
    assert names == NAMES, "the other is there without a signature"
    assert "4 pushed, 1 signed again" in said
    names, said = run(hosted.job(signing_key=key), GRAPH)
    assert names == set()
    assert "\n0 pushed" in said
    names, _ = run(hosted.job(public_keys=Job(hosted.first).keygen("other-1").partition(":")[0] + ":" + "A" * 43 + "="))
    assert names == NAMES


def test_lanes_that_ended_together_are_joined_by_a_job_that_builds_nothing(hosted: Hosted) -> None:
    """The end of one is found only after the end of the other."""
    one, other = hosted.job(), replace(hosted.job(), name="other")
    one.run("setup")
    build(one, GRAPH)
    hosted.actions.control(lag=100)
    one.run("finish")
    hosted.actions.control(lag=0)
    run(other, graphs.leaf("new"))
    hosted.actions.control(appear=True)
    hosted.calls()
    names, _ = run(again(one))
    assert names == set()
    joined = hosted.calls()
    assert (joined[CREATE], calls(joined) <= 3 + 3) == (1, True), joined
    names, _ = run(again(other), f"({GRAPH}) ++ [ ({graphs.leaf('new')}) ]")
    assert (names, hosted.calls()[CREATE]) == (set(), 0)
