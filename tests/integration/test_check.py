"""`nix-autocache check`: a real round trip through each kind of cache, and each row that can say NO, forced."""

import json
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import nix, product, servers
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import Generation

EVERYTHING = [
    "it answers",
    "the signing key test-1 is trusted by readers",
    "a new path can be written",
    "its narinfo can be read",
    "its signature is valid",
    "Nix takes it, with a signature required",
    "Nix refuses it with the signature of another key",
]


@pytest.fixture
def builder(machine: MakeMachine) -> Machine:
    made = machine(binds=product.binds())
    nix.without_daemon(made)
    return made


def rows(job: Job, status: int = 0) -> dict[str, tuple[bool | None, str]]:
    """What each row says, by what it is about."""
    done = job.run("check", "--json", check=False)
    assert done.returncode == status, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    warned = {each["text"]: (False, "a warning") for each in events if each["event"] == "warning"}
    return warned | {each["what"]: (each["works"], each["advice"]) for each in events if each["event"] == "checked"}


def advice(job: Job, status: int = 1) -> str:
    """That of the only row that does not work."""
    found = [text for works, text in rows(job, status).values() if works is False and text != "a warning"]
    assert len(found) == 1, found
    return found[0]


def working(found: dict[str, tuple[bool | None, str]]) -> list[str]:
    names = [name for name, (works, _) in found.items() if works]
    assert names[0].startswith("Nix 2."), names
    return ["it answers" if name.endswith(" answers") else name for name in names[1:]]


def test_a_directory_with_each_nix_leaves_nothing_behind(machine: MakeMachine, nix_generation: Generation) -> None:
    one = machine(nix_generation, product.binds())
    nix.with_daemon(one)
    one.add_user("user")
    job = Job(one, "user", {"cache": "/home/user/cache", "signing-key": Job(one).keygen()})
    assert working(rows(job)) == EVERYTHING
    assert one.sh("find /home/user/cache -type f").stdout == "/home/user/cache/nix-cache-info\n"
    assert "nix-autocache-check" not in one.sh("ls /nix/store").stdout


def test_a_bucket(builder: Machine, tmp_path: Path) -> None:
    with servers.rclone_s3(builder, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        inputs = {"cache": f"s3://bucket?endpoint={server.url}", "signing-key": Job(builder).keygen()}
        found = rows(Job(builder, inputs=inputs, env=servers.s3_env()))
        assert working(found) == [*EVERYTHING, "nobody can write without credentials"]
        (warning,) = [text for text, row in found.items() if row[1] == "a warning"]
        assert "jobs cannot delete: whoever has their credentials can empty the cache" in warning
        assert "refused nix-cache-info" in advice(
            Job(builder, inputs=inputs, env={**servers.s3_env(), "AWS_SECRET_ACCESS_KEY": "x" * 40})
        )
        elsewhere = {**inputs, "cache": f"s3://other?endpoint={server.url}"}
        assert "does not exist; create it" in advice(Job(builder, inputs=elsewhere, env=servers.s3_env()))
    assert [path.name for path in (tmp_path / "s3/bucket").rglob("*") if path.is_file()] == ["nix-cache-info"]
    assert "connection refused" in advice(Job(builder, inputs=inputs, env=servers.s3_env()))


def test_a_bucket_that_anybody_may_write_to(builder: Machine, tmp_path: Path) -> None:
    with servers.public_s3(builder, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        inputs = {"cache": f"s3://bucket?endpoint={server.url}", "signing-key": Job(builder).keygen()}
        assert "took an object without credentials" in advice(Job(builder, inputs=inputs, env=servers.s3_env()))


def test_a_bucket_whose_writers_may_not_delete(builder: Machine, tmp_path: Path) -> None:
    with servers.odd(builder, tmp_path / "s3", "keeps=403") as server:
        inputs = {"cache": f"s3://bucket?endpoint={server.url}", "signing-key": Job(builder).keygen()}
        found = rows(Job(builder, inputs=inputs, env=servers.s3_env()), 1)
    assert found["jobs cannot delete"] == (True, "")


def test_a_server_with_http(builder: Machine, tmp_path: Path) -> None:
    with servers.rclone_http(builder, tmp_path / "http") as server:
        server.wait()
        found = rows(Job(builder, inputs={"cache": server.url, "signing-key": Job(builder).keygen()}))
    assert working(found) == EVERYTHING
    assert any("put a login before it" in text for text in found)


ODD = {
    "narinfos are lost": (["drops=narinfo$"], "it was written, and is not found"),
    "narinfos are changed": (["changes=^StorePath.*", "by=oops"], "what the cache answers is not what was written"),
    "signatures are removed": ([r"changes=Sig: [^\n]*\n", "by="], "it has no valid signature by test-1"),
    "archives are lost": (["drops=^nar/"], "which is not there"),
    "archives are changed": (["changes=[0-9a-f]{64}", f"by={'0' * 64}"], "hash mismatch"),
}


@pytest.mark.parametrize("how", ODD)
def test_a_server_that_changes_what_it_is_given(builder: Machine, how: str, tmp_path: Path) -> None:
    """In each way that a row is for."""
    modes, words = ODD[how]
    inputs = {"cache": "http://127.0.0.1:9180", "signing-key": Job(builder).keygen(), "compression": "none"}
    with servers.odd(builder, tmp_path / "odd", *modes):
        found = [text for works, text in rows(Job(builder, inputs=inputs), 1).values() if works is False]
    assert any(words in text for text in found), found


def test_what_a_job_that_only_pulls_can_try(builder: Machine) -> None:
    builder.write("/srv/cache/nix-cache-info", "StoreDir: /nix/store\n")
    for inputs, reason in (
        ({}, "there is no signing-key"),
        ({"signing-key": Job(builder).keygen(), "push": "never"}, "push is never"),
        ({"signing-key": Job(builder).keygen(), "dry-run": "true"}, "this is a dry run"),
    ):
        found = rows(Job(builder, inputs={"cache": "/srv/cache", **inputs}))
        assert working(found) == ["it answers"]
        works, why = found["it can be written to"]
        assert works is None
        assert reason in why


def test_keys_that_readers_do_not_have_and_a_cache_of_another_store(builder: Machine) -> None:
    key, other = Job(builder).keygen(), Job(builder).run("keygen", "other-1").stderr.split("public key: ")[1].strip()
    job = Job(builder, inputs={"cache": "/srv/cache", "signing-key": key, "public-keys": other})
    assert "public-keys do not hold the signing key's own public half" in advice(job)
    builder.write("/srv/cache/nix-cache-info", "StoreDir: /gnu/store\n")
    assert "it holds paths of /gnu/store, this Nix has /nix/store" in advice(job)


def test_without_nix_and_with_a_nix_that_takes_anything(machine: MakeMachine, builder: Machine) -> None:
    inputs = {"cache": "/srv/cache", "signing-key": Job(builder).keygen()}
    without = Job(machine(binds=product.binds(), nix=False), inputs=inputs)
    assert "install Nix" in advice(without)
    builder.write("/opt/odd/nix", "#!/bin/sh\nexit 0\n", mode=0o755)
    builder.sh("ln -s /usr/bin/nix-store /usr/bin/nix-daemon /opt/odd/")
    odd = Job(builder, inputs=inputs, env={"PATH": "/opt/odd:/usr/bin:/bin"})
    found = [text for works, text in rows(odd, 1).values() if works is False]
    assert found == [
        "its content was changed",
        "this Nix takes what others signed; is it a Nix that was changed?",
    ]


def test_the_hosts_own_cache_is_out_of_reach_of_a_command(builder: Machine) -> None:
    job = Job(builder, inputs={"cache": "gha://"}, env={"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push"})
    done = job.run("check", check=False)
    assert done.returncode == 2
    assert "can be reached by the steps of an action (`uses:`) only" in done.stdout + done.stderr


def test_a_job_is_tried_before_it_begins(builder: Machine) -> None:
    inputs = {"cache": "/srv/cache", "signing-key": Job(builder).keygen(), "check": "true"}
    job = Job(builder, inputs=inputs)
    assert "check: Nix takes it, with a signature required: yes" in job.said("setup")
    job.run("finish")
    builder.write("/srv/cache/nix-cache-info", "StoreDir: /gnu/store\n")
    done = job.run("setup", check=False)
    assert done.returncode == 1
    assert "it holds paths of /gnu/store" in done.stdout + done.stderr
    assert "nix-autocache" not in builder.read("/etc/nix/nix.conf")
