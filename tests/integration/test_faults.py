"""The cache on a bad day: whatever it does, nothing is lost, and the flush ends when it must."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import binary_cache, faults, graphs, nix, product, servers
from tests.harness.faults import Faults, Request
from tests.harness.graphs import BIG
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import OLD, RECENT
from tests.harness.waiting import wait_for

S3_ENV = servers.s3_env()


@dataclass(frozen=True)
class FaultyCache:
    """A machine with Nix whose cache is a bucket behind a proxy that misbehaves."""

    machine: Machine
    proxy: Faults
    bucket: Path

    def job(self, **inputs: str) -> Job:
        url = f"s3://bucket?endpoint={self.proxy.url}&region=us-east-1"
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        return Job(self.machine, inputs={"cache": url, "signing-key": Job(self.machine).keygen(), **given}, env=S3_ENV)

    def build(self, expression: str) -> list[str]:
        return nix.build(self.machine, expression).split()

    def names(self) -> set[str]:
        assert not binary_cache.missing(self.bucket)
        return set(binary_cache.narinfos(self.bucket))


@pytest.fixture
def faulty(machine: MakeMachine, tmp_path: Path) -> Iterator[FaultyCache]:
    made = machine(RECENT, product.binds())
    nix.without_daemon(made)
    with servers.rclone_s3(made, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        with faults.before(made, server.port, tmp_path) as proxy:
            yield FaultyCache(made, proxy, tmp_path / "s3/bucket")


def test_a_cache_that_is_down_at_first_has_everything_in_the_end(faulty: FaultyCache) -> None:
    job = faulty.job()
    faulty.proxy.down()
    assert "uploads wait for the cache" in job.run("setup").stderr
    faulty.build(graphs.layered(3, 4))
    faulty.proxy.up()
    assert "12 pushed" in job.run("flush").stderr
    assert len(faulty.names()) == 12


def test_an_outage_is_waited_for_with_a_line_every_few_seconds(faulty: FaultyCache) -> None:
    job = faulty.job()
    faulty.proxy.down()
    job.run("setup")
    faulty.build(graphs.layered(3, 4))
    with job.start("flush") as flush:
        line = "0 pushed, 0 B; 12 to go; the last trouble was"
        wait_for(lambda: flush.text().count(line) >= 2 or not flush.running(), "two lines of an outage", 60)
        assert flush.running(), flush.text()
        faulty.proxy.up()
        assert flush.wait() == 0
        assert "12 pushed" in flush.text()
    assert len(faulty.names()) == 12


def test_a_cache_that_is_down_for_the_whole_job_ends_the_flush_at_its_deadline(faulty: FaultyCache) -> None:
    job = faulty.job(flush_timeout="2")
    job.run("setup")
    faulty.proxy.down()
    faulty.build(graphs.layered(2, 3))
    done = job.run("flush", timeout=30)
    assert "6 paths were not pushed in time" in done.stderr
    assert "connection refused" in done.stderr
    assert faulty.job(flush_timeout="1", on_upload_failure="fail").run("flush", check=False).returncode == 4
    faulty.proxy.up()
    assert "6 pushed" in faulty.job().run("flush").stderr
    assert len(faulty.names()) == 6


def test_a_flapping_cache_has_everything_in_the_end(faulty: FaultyCache) -> None:
    job = faulty.job()
    job.run("setup")
    faulty.proxy.do(faults.answer(503), faults.PASS, faults.RESET, faults.PASS, faults.answer(429))
    faulty.build(graphs.layered(4, 6))
    assert "24 pushed" in job.run("flush").stderr
    assert len(faulty.names()) == 24
    assert {request.fault.split()[0] for request in faulty.proxy.requests()} == {"answer", "pass", "reset"}


def is_probe(request: Request) -> bool:
    return request.agent.startswith("Python-urllib")


def test_nobody_asks_before_the_time_that_the_cache_asked_for(faulty: FaultyCache) -> None:
    job = faulty.job(extra_nix_conf="substitute = false")  # what Nix reads by learns it for itself
    job.run("setup")
    faulty.proxy.do(faults.answer(429, 4))
    faulty.build(graphs.independent(12))
    wait_for(lambda: any(map(is_probe, faulty.proxy.requests())), "a look at the Retry-After")
    faulty.proxy.do(faults.PASS)
    assert "12 pushed" in job.run("flush").stderr
    told = next(request.at for request in faulty.proxy.requests() if is_probe(request))
    in_flight = 1.0
    early = [r for r in faulty.proxy.requests() if told + in_flight < r.at < told + 4]
    assert not early


def test_archives_survive_resets_in_the_middle_of_their_bodies(faulty: FaultyCache) -> None:
    job = faulty.job(compression="none")
    job.run("setup")
    faulty.proxy.do(faults.RESET, faults.PASS, to="^(PUT|POST)")
    faulty.build(f"[ ({BIG}) ({graphs.leaf('small')}) ]")
    assert "2 pushed" in job.run("flush").stderr
    assert faulty.names() == {"big", "small"}
    for info in binary_cache.narinfos(faulty.bucket).values():
        assert (faulty.bucket / info["URL"]).stat().st_size == int(info["NarSize"])


def test_a_plain_http_cache_is_waited_for_too(machine: MakeMachine, tmp_path: Path) -> None:
    """There a large archive is one request of our own making, without obstore."""
    one = machine(RECENT, product.binds())
    nix.without_daemon(one)
    with servers.rclone_http(one, tmp_path / "http") as server, faults.before(one, server.port, tmp_path) as proxy:
        server.wait()
        job = Job(one, inputs={"cache": proxy.url, "signing-key": Job(one).keygen(), "compression": "none"})
        path = nix.build(one, BIG)
        proxy.do(faults.RESET, faults.answer(429, 1), faults.PASS, to="PUT /nar/")
        assert "1 pushed" in job.run("push", path).stderr
    told, after = (r.at for r in proxy.requests() if r.path.startswith("/nar/") and r.fault != faults.RESET)
    assert after >= told + 1
    (info,) = binary_cache.narinfos(tmp_path / "http").values()
    assert (tmp_path / "http" / info["URL"]).stat().st_size == int(info["NarSize"])


def test_answers_that_never_come_are_not_waited_for(faulty: FaultyCache) -> None:
    job = faulty.job(flush_timeout="2")
    job.run("setup")
    faulty.proxy.do(faults.SILENT)
    faulty.build(graphs.leaf("patient"))
    wait_for(lambda: faulty.proxy.requests()[-1].fault == faults.SILENT, "a request that is not answered")
    done = job.run("flush", timeout=30)
    assert "1 paths were not pushed in time" in done.stderr
    faulty.proxy.do(faults.PASS)
    assert "1 pushed" in faulty.job(flush_timeout="30").run("flush").stderr


@pytest.mark.parametrize("status", [403, 400], ids=["denied", "expired token"])
def test_credentials_that_expire_are_one_line_and_the_queue_is_kept(faulty: FaultyCache, status: int) -> None:
    job = faulty.job()
    job.run("setup")
    faulty.build(graphs.leaf("before"))
    wait_for(lambda: "before" in binary_cache.narinfos(faulty.bucket), "the first upload")
    faulty.proxy.do(faults.answer(status))
    faulty.build(graphs.independent(150))
    done = job.run("flush", timeout=30)
    warnings = [line for line in done.stderr.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "are the credentials right?" in warnings[0]
    denied = [r for r in faulty.proxy.requests() if r.fault.startswith("answer") and r.method == "PUT"]
    assert len(denied) < 100, "a few refusals tell enough"
    faulty.proxy.do(faults.PASS)
    assert "151 pushed" in faulty.job().run("flush").stderr
    assert len(faulty.names()) == 151


BAD = f"""
let {graphs.SHELL}
  altered = sh "altered" "echo altered > $out";
in [ altered (sh "needs" "echo ${{altered}} > $out") (sh "gone" "echo gone > $out") (sh "left-out" "echo > $out")
     (sh "fine" "echo fine > $out") ({BIG}) ]
"""


def test_one_bad_path_of_each_kind_holds_nothing_else_back(faulty: FaultyCache) -> None:
    job = faulty.job(exclude="^left-", compression="none")
    job.run("setup")
    job.kill_uploader()
    altered, _, gone, *_ = faulty.build(BAD)
    faulty.machine.sh(f"rm -f /nix/var/nix/gcroots/nix-autocache/local/*-gone; nix-store --delete {gone}")
    faulty.machine.sh(f"chmod u+w {altered}; echo evil > {altered}")
    faulty.proxy.do(faults.limit(1 << 20), to="nar/")
    said = job.run("flush").stderr
    assert job.outcomes() == {
        "altered": "failed", "needs": "failed", "gone": "failed", "big": "failed", "left-out": "skipped",
        "fine": "pushed",
    }  # fmt: skip
    assert faulty.names() == {"fine"}
    for reason in ("was changed on disk", "is not in the store: collected since", "larger than the server takes"):
        assert reason in said
    assert "1 pushed, 1 skipped, 4 NOT pushed" in said


def test_what_was_collected_is_reported_by_the_oldest_nix_too(machine: MakeMachine, tmp_path: Path) -> None:
    """Nix 2.8 does not tell the hook what was built: the derivation does, if that is still there."""
    job = Job(machine(OLD, product.binds(tmp_path)))
    nix.without_daemon(job.machine)
    job.run("setup")
    job.kill_uploader()
    for name in ("gone", "without-a-trace", "fine"):
        nix.build(job.machine, graphs.leaf(name))
    job.machine.sh("nix-store --delete /nix/store/*-gone /nix/store/*-without-a-trace /nix/store/*-without-a-trace.drv")
    said = job.run("flush").stderr
    assert "1 pushed, 2 NOT pushed" in said
    assert job.outcomes() == {"gone": "failed", "without-a-trace.drv": "failed", "fine": "pushed"}


def test_a_flush_ends_by_its_deadline_when_the_uploader_hangs(faulty: FaultyCache) -> None:
    job = faulty.job(flush_timeout="1")
    job.run("setup")
    job.signal_uploader("STOP")
    faulty.build(graphs.leaf("waiting"))
    done = job.run("flush", timeout=30)
    assert "1 paths were not pushed" in done.stderr
    assert "does not answer" in done.stderr
    job.signal_uploader("CONT")
    assert "1 pushed" in faulty.job().run("flush").stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_an_interrupted_flush_ends_at_once_and_the_next_goes_on(faulty: FaultyCache, number: signal.Signals) -> None:
    job = faulty.job()
    job.run("setup")
    faulty.proxy.do(faults.answer(503))
    faulty.build(graphs.layered(2, 4))
    if number is signal.SIGINT:
        job.kill_uploader()  # and the flush has to do it all by itself
    with job.start("flush") as flushing:
        flushing.wait_for_text("flushing")
        asked = len(faulty.proxy.requests())
        wait_for(lambda: len(faulty.proxy.requests()) > asked + 8, "a flush in the middle of its work")
        flushing.signal(number)
        assert flushing.wait() == 130, flushing.text()
    assert "not pushed: n1-0, n1-1, n1-2" in flushing.text()
    faulty.proxy.do(faults.PASS)
    assert "8 pushed" in job.run("flush").stderr
    assert len(faulty.names()) == 8
