"""Nix reads a cache that asks for credentials which only the job has, or that it could not read at all."""

from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.ground import nix, servers, tool
from tests.ground.roots import OLD, Generation
from tests.ground.tool import Tool
from tests.ground.waiting import wait_for
from tests.machines import graphs
from tests.machines.graphs import BIG
from tests.machines.installing import Job, bare
from tests.machines.test_caches import key_of


def test_a_daemon_reads_a_private_bucket_with_the_jobs_credentials(machine: MakeMachine, tmp_path: Path) -> None:
    empty = bare(machine, user="runner", sudo=True)
    with servers.rclone_s3(empty.machine, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        inputs = {**empty.inputs, "cache": f"s3://bucket?endpoint={server.url}", "signing-key": key_of(empty.machine)}
        job = Job(empty.machine, "runner", inputs, servers.s3_env())
        job.run("setup")
        build = f"nix-build --no-out-link --expr '[ ({BIG}) ({graphs.leaf('small')}) ]'"
        paths = job.sh(build).stdout.split()
        assert "2 pushed" in job.said("flush")
        job.sh(f"nix-store --delete {' '.join(paths)}")
        job.machine.sh("rm -rf /root/.cache/nix")  # where the daemon remembers what was not there
        assert job.sh(f"{build} --max-jobs 0").stderr.count("from 'http://127.0.0.1:") == 2
        job.sh(f"nix-store --verify-path {' '.join(paths)}")
        job.run("finish")
        assert "127.0.0.1" not in job.machine.sh("cat /etc/nix/*").stdout
        wait_for(lambda: not job.machine.processes(), "the end of uploader and reader")


def test_a_repeated_setup_keeps_the_place_where_nix_reads(machine: MakeMachine, tmp_path: Path) -> None:
    """And a Nix that knows no such stores reads it there."""
    one = machine(OLD, tool.binds())
    nix.without_daemon(one)
    with servers.google_xml(one, tmp_path / "gs", "bucket") as server:
        server.wait()
        inputs = {"cache": "gs://bucket/prefix?scheme=http", "signing-key": key_of(one)}
        job = Tool(one, inputs, servers.google_env(server))
        job.run("setup")
        before = one.sh("cat /etc/nix/nix-autocache.conf").stdout
        assert "http://127.0.0.1:" in before
        job.run("setup")
        assert one.sh("cat /etc/nix/nix-autocache.conf").stdout == before
        path = nix.build(one, graphs.leaf("small"))
        assert "1 pushed" in job.run("flush").stderr
        one.run(["nix-store", "--delete", path])
        one.sh("rm -rf /root/.cache/nix")
        assert "copying path" in one.run(["nix-build", "--max-jobs", "0", "--expr", graphs.leaf("small")]).stderr


@pytest.mark.parametrize("down", ["the cache", "the uploader"])
def test_no_build_fails_because_the_cache_cannot_be_read(
    machine: MakeMachine, nix_generation: Generation, down: str, tmp_path: Path
) -> None:
    one = machine(nix_generation, tool.binds())
    nix.without_daemon(one)
    with servers.rclone_s3(one, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        inputs = {"cache": f"s3://bucket?endpoint={server.url}", "signing-key": key_of(one)}
        job = Tool(one, inputs, servers.s3_env())
        job.run("setup")
        nix.build(one, graphs.leaf("while-it-is-well"))
        if down == "the cache":
            server.stop()
        else:
            job.kill_uploader()
        assert len(nix.build(one, graphs.independent(3)).split()) == 3
        Tool(one, {**inputs, "flush-timeout": "1"}, servers.s3_env()).run("finish")
        wait_for(lambda: not one.processes(), "the end of uploader and reader")


def test_what_no_binary_cache_holds_is_not_served(machine: MakeMachine, tmp_path: Path) -> None:
    one = machine(binds=tool.binds())
    nix.without_daemon(one)
    with servers.rclone_s3(one, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        (tmp_path / "s3/bucket/secret").write_text("of somebody else")
        inputs = {"cache": f"s3://bucket?endpoint={server.url}", "signing-key": key_of(one)}
        job = Tool(one, inputs, servers.s3_env())
        job.run("setup")
        conf = one.sh("cat /etc/nix/nix-autocache.conf").stdout
        (url,) = [line.split()[-1] for line in conf.splitlines() if line.startswith("extra-substituters")]

        def status(*words: str) -> str:
            options = ["--silent", "--path-as-is", "--output", "/tmp/got", "--write-out", "%{http_code}"]
            return one.run(["curl", *options, *words]).stdout

        assert status(f"{url}/nix-cache-info") == "200"
        assert one.read("/tmp/got").startswith("StoreDir: /nix/store\n")
        assert status(f"{url}/secret") == status(f"{url}/nar/../secret") == "404"
        assert status("--request", "PUT", "--data", "x", f"{url}/nix-cache-info") == "501"
        server.stop()
        assert status(f"{url}/{'0' * 32}.narinfo") == "404"


@pytest.mark.parametrize("login", ["me:s3cret", "s3cret-token", "s3cret-token:"])
def test_a_password_is_not_written_where_others_could_read_it(machine: MakeMachine, login: str, tmp_path: Path) -> None:
    one = machine(binds=tool.binds())
    nix.without_daemon(one)
    with servers.rclone_http(one, tmp_path / "http") as server:
        server.wait()
        cache = server.url.replace("//", f"//{login}@")
        job = Tool(one, {"cache": cache, "signing-key": key_of(one)})
        done = job.run("setup")
        assert "s3cret" not in done.stdout + done.stderr
        assert one.run(["grep", "-r", "s3cret", "/etc/nix", "/var/lib/nix-autocache"], check=False).stdout == ""
        path = nix.build(one, graphs.leaf("small"))
        assert "s3cret" not in job.run("status", "--json").stdout
        assert "1 pushed" in job.run("flush").stderr
        one.run(["nix-store", "--delete", path])
        one.sh("rm -rf /root/.cache/nix")
        assert "copying path" in one.run(["nix-build", "--max-jobs", "0", "--expr", graphs.leaf("small")]).stderr
