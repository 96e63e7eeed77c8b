"""Inputs as people write them: read as Nix reads them, or refused at set-up; never written where others must read."""

from tests.conftest import MakeMachine
from tests.harness import nix
from tests.harness.job import BUILD, Job, debian
from tests.harness.roots import NEW, Generation

# Nix 2.8 takes %20 as it stands, 2.26 and 2.34 decode it, and none takes a letter with a dot.
DIRECTORIES = ("/w/my cache", "file:///w/your%20cache?priority=10&trusted=no", "/w/Zwischenablage-ü", "/w/a+b=c")


def forgotten(job: Job, path: str) -> None:
    job.sh(f"nix-store --delete {path}; rm -rf ~/.cache/nix")


def test_a_directory_of_any_name_is_written_where_nix_reads(machine: MakeMachine, nix_generation: Generation) -> None:
    made = debian(machine, nix_generation)
    nix.without_daemon(made.machine)
    key = Job(made.machine).keygen()
    for number, cache in enumerate(DIRECTORIES):
        job = Job(made.machine, inputs={"cache": cache, "signing-key": key}, name=f"job{number}")
        job.run("setup")
        path = job.build(f"leaf{number}")
        assert "1 pushed" in job.said("flush"), cache
        if "priority" in cache:
            conf = job.machine.read("/etc/nix/nix-autocache.conf")
            assert "?priority=10&trusted=no" in conf, conf
        forgotten(job, path)
        again = job.sh(f"nix-build --no-out-link --max-jobs 0 -E '{BUILD.format(name=f'leaf{number}')}' 2>&1").stdout
        assert "copying path" in again, (cache, again)
        job.run("finish")


def test_a_home_with_a_blank_has_a_cache_that_nix_reads(machine: MakeMachine, nix_generation: Generation) -> None:
    job = debian(machine, nix_generation)
    nix.without_daemon(job.machine)
    job.machine.sh("mkdir -p '/w/my home'")
    job = Job(job.machine, env={"XDG_DATA_HOME": "/w/my home"})
    job.run("setup")
    path = job.build("leaf")
    assert "1 pushed" in job.said("flush")
    forgotten(job, path)
    again = job.sh(f"nix-build --no-out-link --max-jobs 0 -E '{BUILD.format(name='leaf')}' 2>&1").stdout
    assert "copying path" in again
    job.run("finish")


def test_what_is_wrong_in_a_store_url_ends_the_command_before_anything_is_written(machine: MakeMachine) -> None:
    job = debian(machine, NEW)
    nix.without_daemon(job.machine)
    path = job.build("leaf")
    for wrong in ("priority=", "priority=abc", "want-mass-query=2", "trusted=", "foo=1"):
        done = job.run("push", "--cache", f"file:///w/q?{wrong}", path, check=False)
        assert (done.returncode, wrong.partition("=")[0] in done.stderr) == (2, True), done.stderr
    for two in ("file:///w/q\nfile:///w/r", "file:///w/q file:///w/r"):
        assert job.run("setup", "--cache", two, check=False).returncode == 2
    assert not job.machine.exists("/w/q")
    for number, word in enumerate(("false", "no", "0", "yes", "1")):
        job.run("push", "--cache", f"file:///w/{number}?want-mass-query={word}&priority=007", path)
        info = job.machine.read(f"/w/{number}/nix-cache-info")
        assert f"WantMassQuery: {int(number > 2)}\nPriority: 7\n" in info


def test_public_keys_that_do_not_hold_the_signing_keys_own_are_told_of(machine: MakeMachine) -> None:
    job = debian(machine, NEW)
    nix.without_daemon(job.machine)
    secret, other = Job(job.machine).keygen(), job.run("keygen", "cache.example.org-1").stderr.split()[-1]
    inputs = {"cache": "file:///w/c", "signing-key": f"\ufeff{secret}", "public-keys": other}
    first = Job(job.machine, inputs=inputs, name="one")
    said = first.said("setup")
    assert "::warning" in said
    assert "public-keys do not hold the signing key's own public half" in said
    first.run("finish")  # or its uploader may be the one that pushes what the next job builds
    job = Job(job.machine, inputs={**inputs, "public-keys": ""}, name="two")
    assert "public half" not in job.said("setup")
    job.build("leaf")
    assert "1 pushed" in job.said("finish")
    assert job.sh("grep -h ^Sig: /w/c/*.narinfo").stdout.startswith(f"Sig: {secret.partition(':')[0]}:")
