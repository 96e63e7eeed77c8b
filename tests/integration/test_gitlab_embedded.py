"""The cache that GitLab keeps in the project: it holds no secret key, and still each job's Nix trusts what is in it."""

import re
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import gitlab, graphs, nix, product
from tests.harness.content_addressed import ready
from tests.harness.job import Job
from tests.harness.machine import Bind, Machine
from tests.harness.pipelines import PROJECT, PROTECTED, fresh, pipeline, runs
from tests.harness.roots import NEW, OLD, RECENT, Generation

KEPT = f"{PROJECT}/.nix-autocache"
SHOW = "nix --extra-experimental-features nix-command show-config | sed -n 's/^trusted-public-keys = /keys=/p'"
PROJECTS_SOURCE = """derivation {
  name = "app"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo ${./.}/main >$out" ];
}"""


def of_gitlab(machine: Machine, user: str, number: int, **env: str) -> Job:
    """One job on GitLab, by its number."""
    given = {"CI_JOB_ID": str(number), "CI_PIPELINE_SOURCE": "push", "CI_PROJECT_DIR": PROJECT, **env}
    return Job(machine, user, env=given)


def with_project(machine: MakeMachine, generation: Generation, user: str) -> Machine:
    """A machine with the project of this user; root has a Nix without a daemon, others have one with."""
    made = machine(generation, product.binds())
    if user == "root":
        nix.without_daemon(made)
    else:
        made.add_user(user, sudo=True)
        nix.with_daemon(made)
    made.sh(f"mkdir -p {PROJECT}; chown -R {user} {PROJECT}")
    return made


def secrets_of(machine: Machine, places: str) -> str:
    """The files that hold what looks like a secret key of Nix, which is 64 bytes in base 64."""
    return machine.sh(f"grep -rlaE ':[0-9A-Za-z+/]{{86}}==' {places} 2>/dev/null || true").stdout


def test_no_key_is_in_the_project_its_archives_or_the_store(machine: MakeMachine, tmp_path: Path) -> None:
    """A derivation whose source is the project takes all of it into the store, and what refers to it is published."""
    for expected in ("2 pushed", "2 pushed", "upstream"):
        made = fresh(machine, tmp_path)
        done = runs(made, pipeline(), PROTECTED if expected != "upstream" else {}, PROJECTS_SOURCE)
        assert done.returncode == 0, done.text
        assert (
            secrets_of(made, f"{KEPT}/protected-* {KEPT}/unprotected /nix/store /nix/var /var/lib/nix-autocache") == ""
        )
        assert made.sh(f"find {PROJECT} / -xdev -name 'signing-key*' -o -name nix-autocache.pub").stdout == ""
        made.sh(f"mkdir /tmp/all; for each in {gitlab.KEPT}/*.tar; do tar -C /tmp/all -xf $each; done")
        assert secrets_of(made, "/tmp/all/.nix-autocache/protected-true /tmp/all/.nix-autocache/unprotected") == ""
        assert made.sh("grep -rl nix-autocache-job- /tmp/all --include=*.narinfo || true").stdout == ""


def test_an_old_key_that_a_cache_brings_is_deleted_and_never_trusted(machine: MakeMachine, tmp_path: Path) -> None:
    made = fresh(machine, tmp_path)
    old = Job(made).run("keygen", "nix-autocache-0ld-1")
    made.sh("mkdir -p /tmp/x/.nix-autocache/unprotected /tmp/x/.nix-autocache/protected-true")
    made.write("/tmp/x/.nix-autocache/signing-key", old.stdout, 0o600)
    for name in ("signing-key.pub", "unprotected/nix-autocache.pub", "protected-true/nix-autocache.pub"):
        made.write(f"/tmp/x/.nix-autocache/{name}", old.stderr.split()[-1])
    made.sh(
        f"tar -C /tmp/x -cf {gitlab.KEPT}/nix-autocache-false--build-non_protected.tar .nix-autocache; rm -r /tmp/x"
    )
    done = runs(made, pipeline("nix-build --no-out-link", SHOW))
    assert done.returncode == 0, done.text
    assert "1 pushed" in done.log
    (trusted,) = re.findall(r"keys=(\S+:.*)", done.log)
    assert "nix-autocache-0ld-1" not in trusted
    assert made.sh(f"find {KEPT} -name 'signing-key*' -o -name nix-autocache.pub").stdout == ""
    assert "signing-key" not in made.sh(f"for each in {gitlab.KEPT}/*.tar; do tar -tf $each; done").stdout
    again = fresh(machine, tmp_path)
    done = runs(again, pipeline("nix-build --no-out-link", SHOW))
    assert "building '/nix/store/" not in done.log, done.text
    (trusted,) = re.findall(r"keys=(\S+:.*)", done.log)
    assert "nix-autocache-job-" in trusted


@pytest.mark.parametrize(
    ("generation", "user"), [(OLD, "root"), (RECENT, "root"), (NEW, "ci"), (OLD, "ci")], ids=lambda each: str(each)
)
def test_what_one_job_built_the_next_one_fetches(machine: MakeMachine, generation: Generation, user: str) -> None:
    """As root without a daemon, and as a user of one; whatever public-keys says; on a machine that stays."""
    made = with_project(machine, generation, user)
    build = f"nix-build --no-out-link --expr '{graphs.leaf('one')}'"
    for number, did in ((1, "building '/nix/store"), (2, "copying path '/nix/store"), (3, "copying path '/nix/store")):
        other = {"NIX_AUTOCACHE_PUBLIC_KEYS": "x-1:aWgkY9TScTgShzTS5yXH4ndFlgV8wbrT7QuMBJuIjsg="} if number == 3 else {}
        job = of_gitlab(made, user, number, **other)
        job.run("setup")
        built = job.sh(build)
        assert did in built.stderr, built.stderr
        assert secrets_of(made, "/var/lib/nix-autocache /etc /proc/[0-9]*/environ /proc/[0-9]*/cmdline") == ""
        job.run("setup")  # again
        if number > 1:
            made.sh(f"nix-store --delete {built.stdout.strip()}")
            assert "copying path '/nix/store" in job.sh(build).stderr, "Nix may remember what an earlier key signed"
        job.run("finish")
        made.sh(f"nix-store --delete {built.stdout.strip()}", user="root")
    assert "nix-autocache-job-" not in made.sh(f"cat {KEPT}/unprotected/*.narinfo; cat /etc/nix/nix*.conf").stdout


@pytest.mark.parametrize(
    ("generation", "user"), [(OLD, "root"), (RECENT, "root"), (NEW, "ci"), (OLD, "ci")], ids=lambda each: str(each)
)
def test_a_build_and_a_flush_work_when_all_our_processes_were_ended(
    machine: MakeMachine, generation: Generation, user: str
) -> None:
    """As between `script` and `after_script` in Docker. A read proxy that lives is still read through."""
    made = with_project(machine, generation, user)
    before = configuration(made)
    job = of_gitlab(made, user, 1)
    job.run("setup")
    for number, (name, end) in enumerate((("one", job.kill_uploader), ("two", job.kill_read_proxy))):
        job.sh(f"nix-build --no-out-link --expr '{graphs.leaf(name)}'")
        end()
        assert "127.0.0.1" in configuration(made)
        said = job.said("flush")
        assert f"{number + 1} pushed" in said, said
        assert ("the read proxy is gone" in said) is (name == "two"), said
        assert ("127.0.0.1" in configuration(made)) is (name == "one")
    built = job.sh(f"nix-build --no-out-link --expr '{graphs.leaf('three')}'").stderr
    assert "building '/nix/store" in built
    assert "127.0.0.1" not in built
    said = job.said("finish")
    assert "3 pushed" in said
    assert "does not read" not in said, "it was said before"
    assert configuration(made) == before


def test_where_the_proxy_cannot_be_asked_the_cache_is_not_read_and_it_is_said_once(machine: MakeMachine) -> None:
    made = machine(RECENT, product.binds())
    nix.without_daemon(made)
    made.sh(f"mkdir -p {PROJECT}")
    for number in (1, 2):
        job = of_gitlab(made, "root", number, http_proxy="http://127.0.0.1:9")
        said = job.said("setup")
        assert said.count("Nix does not read the cache") == 1, said
        assert "127.0.0.1" not in configuration(made)
        built = job.sh(f"nix-build --no-out-link --expr '{graphs.leaf('one')}'")
        assert "building '/nix/store" in built.stderr
        job.run("finish")
        made.sh(f"nix-store --delete {built.stdout.strip()}")
    assert "one" in made.sh(f"cat {KEPT}/unprotected/*.narinfo").stdout


def configuration(machine: Machine) -> str:
    """What is in all files of Nix's configuration."""
    return machine.sh("cat /etc/nix/* /root/.config/nix/* /home/*/.config/nix/* 2>/dev/null || true").stdout


def test_what_a_job_fetched_goes_elsewhere_without_its_signature(machine: MakeMachine) -> None:
    """On a machine that stays, the store keeps the signature of a key that is gone."""
    made = machine(RECENT, product.binds())
    nix.without_daemon(made)
    made.sh(f"mkdir -p {PROJECT}")
    build = f"nix-build --no-out-link --expr '{graphs.leaf('one')}'"
    for number in (1, 2):
        job = of_gitlab(made, "root", number)
        job.run("setup")
        path = job.sh(build).stdout.strip()
        job.run("finish")
        if number == 1:
            made.sh(f"nix-store --delete {path}")
    assert "nix-autocache-job-" in made.sh(f"nix path-info --sigs {path}").stdout
    key = Job(made).keygen("other-1")
    Job(made, inputs={"cache": "file:///srv/other", "signing-key": key}).run("push", path)
    said = made.sh("cat /srv/other/*.narinfo").stdout
    assert "Sig: other-1:" in said
    assert "nix-autocache-job-" not in said


def test_content_addressed_derivations_are_fetched_too(machine: MakeMachine, tmp_path: Path) -> None:
    """A realisation is signed for the job like a path."""
    for number in (1, 2):
        made = machine(RECENT, [*product.binds(), Bind(tmp_path, PROJECT, writable=True)])
        nix.without_daemon(made)
        ready(made)
        job = of_gitlab(made, "root", number)
        job.run("setup")
        built = job.sh("nix-build --no-out-link /root/ca.nix").stderr
        assert ("building '/nix/store/" in built) is (number == 1), built
        job.run("finish")


def test_what_others_packed_does_not_end_a_job(machine: MakeMachine) -> None:
    """Narinfos that refer to each other in a circle, links, and bytes: nix.conf is what it was, all else untouched."""
    made = machine(RECENT, product.binds())
    nix.without_daemon(made)
    before = made.sh("cat /etc/nix/nix.conf").stdout
    made.sh(f"mkdir -p {PROJECT} /srv/foreign; echo >/srv/foreign/precious.narinfo")
    job = of_gitlab(made, "root", 1)
    job.run("setup")
    built = f"nix-build --no-out-link --expr '{graphs.CHAIN}' -A top"
    job.sh(built)
    job.run("finish")
    kept = f"{KEPT}/unprotected"
    (zero,) = made.sh(f"grep -l ^StorePath:.*-zero$ {kept}/*.narinfo").stdout.split()
    (one,) = made.sh(f"sed -n 's|^StorePath: .*/\\(.*-one\\)$|\\1|p' {kept}/*.narinfo").stdout.split()
    made.sh(f"sed -i 's/^References:.*/References: {one}/' {zero}")
    made.sh(f"ln -s /srv/foreign/precious.narinfo {kept}/; ln -s /srv/foreign {kept}/realisations")
    made.sh(f"cp /bin/true {kept}/x.narinfo")
    job = of_gitlab(made, "root", 2)
    job.run("setup")
    job.sh(f"nix-collect-garbage >/dev/null 2>&1; {built}")
    said = job.said("finish")
    assert "NOT pushed" not in said
    assert made.exists("/srv/foreign/precious.narinfo")
    assert made.sh("cat /etc/nix/nix.conf").stdout == before
    assert made.sh(f"ls {kept} | grep -v '^nar$\\|^nix-cache-info$\\|narinfo$' || true").stdout in {
        "",
        "realisations\n",
    }
    assert not made.exists(f"{kept}/x.narinfo")
