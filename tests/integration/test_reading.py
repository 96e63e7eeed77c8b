"""Nix reads a cache that asks for credentials which only the job has, or that it could not read at all."""

import re
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import graphs, nix, product, programs, servers
from tests.harness.graphs import BIG
from tests.harness.job import Job, bare
from tests.harness.machine import Machine
from tests.harness.provisioned import configure
from tests.harness.roots import OLD, RECENT, Generation
from tests.harness.waiting import wait_for


def test_a_daemon_reads_a_private_bucket_with_the_jobs_credentials(machine: MakeMachine, tmp_path: Path) -> None:
    empty = bare(machine, user="runner", sudo=True)
    with servers.rclone_s3(empty.machine, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        inputs = {
            **empty.inputs,
            "cache": f"s3://bucket?endpoint={server.url}",
            "signing-key": Job(empty.machine).keygen(),
        }
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
    one = machine(OLD, product.binds())
    nix.without_daemon(one)
    with servers.google_xml(one, tmp_path / "gs", "bucket") as server:
        server.wait()
        inputs = {"cache": "gs://bucket/prefix?scheme=http", "signing-key": Job(one).keygen()}
        job = Job(one, inputs=inputs, env=servers.google_env(server))
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


@pytest.mark.every_value
@pytest.mark.parametrize("down", ["the cache", "the uploader"])
def test_no_build_fails_because_the_cache_cannot_be_read(
    machine: MakeMachine, nix_generation: Generation, down: str, tmp_path: Path
) -> None:
    one = machine(nix_generation, product.binds())
    nix.without_daemon(one)
    with servers.rclone_s3(one, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        inputs = {"cache": f"s3://bucket?endpoint={server.url}", "signing-key": Job(one).keygen()}
        job = Job(one, inputs=inputs, env=servers.s3_env())
        job.run("setup")
        nix.build(one, graphs.leaf("while-it-is-well"))
        if down == "the cache":
            server.stop()
        else:
            job.kill_uploader()
        assert len(nix.build(one, graphs.independent(3)).split()) == 3
        Job(one, inputs={**inputs, "flush-timeout": "1"}, env=servers.s3_env()).run("finish")
        wait_for(lambda: not one.processes(), "the end of uploader and reader")


def test_what_no_binary_cache_holds_is_not_served(machine: MakeMachine, tmp_path: Path) -> None:
    one = machine(binds=product.binds())
    nix.without_daemon(one)
    with servers.rclone_s3(one, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        (tmp_path / "s3/bucket/secret").write_text("of somebody else")
        inputs = {"cache": f"s3://bucket?endpoint={server.url}", "signing-key": Job(one).keygen()}
        job = Job(one, inputs=inputs, env=servers.s3_env())
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
    one = machine(binds=product.binds())
    nix.without_daemon(one)
    with servers.rclone_http(one, tmp_path / "http") as server:
        server.wait()
        cache = server.url.replace("//", f"//{login}@")
        job = Job(one, inputs={"cache": cache, "signing-key": Job(one).keygen()})
        done = job.run("setup")
        assert "s3cret" not in done.stdout + done.stderr
        assert one.run(["grep", "-r", "s3cret", "/etc/nix", "/var/lib/nix-autocache"], check=False).stdout == ""
        path = nix.build(one, graphs.leaf("small"))
        assert "s3cret" not in job.run("status", "--json").stdout
        assert "1 pushed" in job.run("flush").stderr
        one.run(["nix-store", "--delete", path])
        one.sh("rm -rf /root/.cache/nix")
        assert "copying path" in one.run(["nix-build", "--max-jobs", "0", "--expr", graphs.leaf("small")]).stderr


def test_other_users_neither_read_by_the_reader_nor_hold_it_up(machine: MakeMachine, tmp_path: Path) -> None:
    """A user whom `allowed-users` shuts out of Nix, and who holds more connections than a service has descriptors."""
    one = machine(RECENT, product.binds())
    for user in ("runner", "guest", "visitor"):
        one.add_user(user)
    nix.with_daemon(one, "allowed-users = root runner nix-autocache\n")
    root, job = Job(one), Job(one, "runner")
    root.run("--version")
    with servers.rclone_s3(one, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        configure(one, server.url)
        with one.start(programs.python("take_port.py", "/etc/nix/nix-autocache.conf"), user="guest") as taking:
            one.run(["bash", "-c", f"ulimit -Sn 1024; {' '.join(product.CLI)} provision"], env=root.environment())
            taking.wait_for_text("refused")
        job.run("setup")
        path = job.build("private")
        assert "1 pushed" in job.said("flush")
        (url,) = re.findall(r"http://127.0.0.1:\d+/\w+", one.read("/etc/nix/nix-autocache.conf"))
        ask = ["curl", "--silent", "--max-time", "10", f"{url}/{path[11:43]}.narinfo"]
        assert path in one.run(ask, user="runner").stdout
        assert one.run(ask, user="guest", check=False).stdout == ""
        one.sh("chmod 700 /usr/bin/nix")  # as where nothing can be started for a moment
        assert one.run(ask, user="visitor", check=False).stdout == ""
        one.sh("chmod 755 /usr/bin/nix")
        holding = programs.python("hold_port.py", url.split(":")[2].partition("/")[0], "1200")
        with one.start(holding, user="guest") as guest:
            guest.wait_for_text("held")
            assert path in one.run(ask, user="runner").stdout
            job.sh(f"nix-build --no-out-link --expr '{graphs.leaf('meanwhile')}'")


@pytest.mark.parametrize("harden", [False, True], ids=["the job's own uploader", "an uploader of another user"])
def test_the_readers_port_is_taken_before_nix_is_told_of_it(machine: MakeMachine, harden: bool, tmp_path: Path) -> None:
    """And a reader that dies is started again, on the same socket."""
    one = machine(RECENT, product.binds())
    one.add_user("guest")
    one.add_user("runner", sudo=True)
    nix.with_daemon(one)
    Job(one).run("--version")
    with (
        servers.rclone_s3(one, tmp_path / "s3", ["bucket"]) as server,
        one.start(programs.python("take_port.py", "/etc/nix/nix-autocache.conf"), user="guest") as taking,
    ):
        server.wait()
        inputs = {
            "cache": f"s3://bucket?endpoint={server.url}",
            "signing-key": Job(one).keygen(),
            "harden": str(harden),
        }
        job = Job(one, "runner", {**inputs, "push": "always"}, servers.s3_env())
        job.run("setup")
        taking.wait_for_text("refused")
        port = taking.text().split()[-1]
        (url,) = re.findall(rf"http://127.0.0.1:{port}/\w+", one.read("/etc/nix/nix-autocache.conf"))
        ask = ["curl", "--silent", "--max-time", "10", f"{url}/nix-cache-info"]
        assert "StoreDir: /nix/store" in one.run(ask).stdout
        (before,) = readers(one)
        one.run(["kill", "-KILL", str(before)])
        wait_for(lambda: "StoreDir" in one.run(ask, check=False).stdout, "another reader")
        assert readers(one) != [before]


def readers(machine: Machine) -> list[int]:
    return [each.pid for each in machine.processes() if "nix_autocache.uploader.read_proxy.main" in each.argv]
