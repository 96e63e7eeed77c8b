"""Everything that we make, in every row of the mode table, has the mode and the owner of this page under any umask.

Containers and services set 0000 and hardened images 0077; neither may decide who can change or read what we make.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import nix, product, sealing
from tests.harness.job import PROFILE, STATE, Job, bare, debian
from tests.harness.machine import Machine
from tests.harness.roots import RECENT

# The first line that fits a whole path counts. Its owner is root, `user`, who runs the job, or `uploader`, whom the
# uploader of the job runs as.
TABLE = r"""
s 700|777 uploader STATE/jobs/[^/]+/uploader\.sock
d 755 user         STATE/jobs/[^/]+/steps
f 644 user         STATE/jobs/[^/]+/steps/(setup\.json|store-before)
d 755 uploader     STATE/jobs/[^/]+(/queue(/new|/failed)?)?
f 644 root|user    STATE/jobs/[^/]+/uploader\.log
f 644 root         STATE/jobs/[^/]+/queue/new/[^/]+
f 600 uploader     STATE/jobs/[^/]+/queue/lock
f 644 uploader     STATE/jobs/[^/]+/queue/outcomes\.jsonl
d 755 maker        STATE(/jobs)?
d 700 maker        STATE/nix\.conf\.d
f 600 maker        STATE/(nix\.conf\.d/[^/]+|lock|nix-conf-files)
f 755 maker        STATE/hook
f 644 maker        STATE/(undo\.jsonl|installed\.json|hardened\.json|provisioned\.json)
f 600 root         /var/lib/nix-autocache/(daemon\.lock|keeper\.lock|daemon\.env)
f 644 root         /var/lib/nix-autocache/(daemon\.log|uploader\.log)
d 755 root         /var/lib/nix-autocache/(program|service|packages|supervisor)(/.*)?
f 644 root         /var/lib/nix-autocache/(program|service|packages|supervisor)/.*
f 755 root         /var/lib/nix-autocache/undo
f 440 root         /etc/sudoers\.d/zzzzzzzz-nix-autocache
d 755 maker        (/etc|/home/runner/\.config)(/nix)?
f 644 maker        (/etc|/home/runner/\.config)/nix/nix\.conf
f 644 root         /etc/nix/nix-autocache\.conf
f 600 user         /home/runner/\.config/nix/nix-autocache\.conf
d 755 user|root    (/root|/home/runner)/\.(local|config)(/share|/state)?
d 755 user|root    (/root|/home/runner)/\.local/share/nix-autocache(/cache(/(nar|log|realisations|autocache.*))?)?
f 600 user         (/root|/home/runner)/\.local/share/nix-autocache/signing-key
f 644 user         (/root|/home/runner)/\.local/share/nix-autocache/(signing-key\.pub|cache/.*)
d 755 uploader     /srv/new/cache(/(nar|autocache.*))?
d 755 root         /srv/new/cache/(log|realisations)
f 644 uploader     /srv/new/cache/.*
d 755 root         /srv/new
d 500 uploader     /run/nix-autocache/credentials
f 400 uploader     /run/nix-autocache/credentials/.*
s 600 uploader     /run/nix-autocache/notify
d 755 root         /run/nix-autocache
d 755 user         /home/runner/tools(/.*)?
f 644 user         /home/runner/tools/.*
d 755|1775 maker|root /nix/store
d 555 maker|root   /nix/store/.*
f 444|555 maker|root /nix/store/.*
d 755 uploader     /nix/var/nix/gcroots/nix-autocache/[^/]+
f 644 maker|uploader /nix/var/nix/gcroots/nix-autocache/.*
d 755 maker        /nix/var/nix/gcroots/(per-user/runner/)?nix-autocache(/[^/]+)?
f 644 maker        /nix/var/nix/gcroots/per-user/runner/nix-autocache/.*
s 666 root         /nix/var/nix/daemon-socket/socket
d 755 user|root    /nix(/var.*)?
f 600|644 user|root /nix/var/.*
"""
# What Nix, sudo and the tools that make users keep for themselves is theirs; /nix-autocache is the read-only checkout.
FOUND = r"""
find / \( -path /proc -o -path /sys -o -path /dev -o -path /opt -o -path /src -o -path /tmp -o -path /root/.cache \
  -o -path /nix-autocache \
  -o -path /home/runner/.cache -o -path '/nix/store/.links' -o -path /run/mount -o -path /run/sudo \
  -o -path /var/lib/sudo -o -path '/etc/*-' -o -path '/etc/*.lock' \) -prune -o ! -type l -printf '%y %m %u %p\n'
"""
PROVISIONED = """
cache = "file:///srv/new/cache"
signing-key = "file:/etc/nix-autocache/key"
"""
Prepare = Callable[[MakeMachine], Job]


def found(machine: Machine) -> set[str]:
    return set(machine.sh(FOUND, check=False).stdout.splitlines())


def rules(job: Job, uploader: str) -> Iterator[tuple[str, re.Pattern[str], re.Pattern[str], re.Pattern[str]]]:
    """The rows, with the users of this job."""
    state = r"(/var/lib/nix-autocache|/home/runner/\.local/state/nix-autocache)"
    maker = "root" if job.machine.exists(STATE) else job.user
    people = {"user": job.user, "uploader": uploader, "maker": maker}
    for line in TABLE.splitlines():
        if line:
            kind, mode, owner, path = line.split()
            owners = "|".join(people.get(word, word) for word in owner.split("|"))
            yield kind, re.compile(mode), re.compile(owners), re.compile(path.replace("STATE", state))


def wrong(job: Job, made: set[str], uploader: str) -> list[str]:
    """Files that the table lacks, or whose mode or owner differs."""
    table = list(rules(job, uploader))
    bad = []
    for line in sorted(made):
        kind, mode, owner, path = line.split(" ", 3)
        fits = (row for row in table if row[0] == kind and row[3].fullmatch(path))
        row = next(fits, None)
        if row is None or not row[1].fullmatch(mode) or not row[2].fullmatch(owner):
            bad.append(line)
    return bad


def installs_for_all(machine: MakeMachine) -> Job:
    return bare(machine, user="runner", sudo=True)


def installs_as_root(machine: MakeMachine) -> Job:
    return bare(machine)


def installs_for_one(machine: MakeMachine) -> Job:
    job = bare(machine, user="runner")
    job.machine.sh("install -d -o runner /nix")
    return job


def tells_the_daemon(machine: MakeMachine) -> Job:
    job = debian(machine, RECENT, "runner", sudo=True)
    nix.with_daemon(job.machine)
    return job


def is_trusted(machine: MakeMachine) -> Job:
    job = debian(machine, RECENT, "runner")
    nix.with_daemon(job.machine, "trusted-users = root runner\n")
    return job


def looks_through_the_store(machine: MakeMachine) -> Job:
    job = debian(machine, RECENT, "runner")
    nix.with_daemon(job.machine)
    return replace(job, env={"RUNNER_TOOL_CACHE": "/home/runner/tools", "PYTHONPYCACHEPREFIX": ""})


def has_a_store(machine: MakeMachine) -> Job:
    job = debian(machine, RECENT, "runner")
    nix.without_daemon(job.machine, owner="runner")
    return job


EVERY_ROW = [
    installs_for_all, installs_as_root, installs_for_one, tells_the_daemon, is_trusted, looks_through_the_store,
    has_a_store,
]  # fmt: skip


@pytest.mark.every_value
@pytest.mark.parametrize("umask", ["0000", "0077"])
@pytest.mark.parametrize("prepare", EVERY_ROW)
def test_what_a_job_makes_is_as_the_table_says(machine: MakeMachine, prepare: Prepare, umask: str) -> None:
    job = replace(prepare(machine), umask=umask)
    before = found(job.machine)
    job.run("setup")
    path = job.build("something")
    job.run("flush")
    assert path in job.cached()
    assert wrong(job, found(job.machine) - before, job.user) == []
    if job.machine.exists(PROFILE) and job.machine.exists(STATE):
        job.machine.add_user("other")
        Job(job.machine, "other").build("of-another-user")
    job.run("undo")
    assert not job.machine.exists(STATE)


@pytest.mark.parametrize("umask", ["0000", "0077"])
def test_what_a_hardened_job_makes_is_as_the_table_says(umask: str, tmp_path: Path) -> None:
    with sealing.job(tmp_path) as sealed:
        job = replace(sealed.job, umask=umask)
        before = found(job.machine)
        assert sealing.SOLVED in job.said("setup")
        job.build("something")
        assert "1 pushed" in job.said("flush")
        assert wrong(job, found(job.machine) - before, "nix-autocache") == []


@pytest.mark.parametrize("umask", ["0000", "0077"])
def test_what_provision_makes_is_as_the_table_says(machine: MakeMachine, umask: str) -> None:
    """The cache, which is not there yet, is the service's; all else is root's."""
    made = machine(RECENT, product.binds())
    nix.with_daemon(made)
    root = Job(made, umask=umask)
    made.write("/etc/nix-autocache/key", root.keygen(), mode=0o600)
    made.write("/etc/nix-autocache.toml", PROVISIONED, mode=0o600)
    before = found(made)
    said = root.said("provision")
    assert "warning" not in said, said
    made.add_user("runner")
    job = Job(made, "runner", name="job", umask=umask)
    job.set_up("managed")
    job.build("something")
    assert "1 pushed" in job.said("finish")
    after = {
        line for line in found(made) - before if not re.search(r" (/home/runner|/etc|/var/(mail|spool).*)\b", line)
    }
    assert wrong(root, after, "nix-autocache") == []


def test_what_an_earlier_set_up_left_open_is_closed_by_the_next(machine: MakeMachine) -> None:
    job = tells_the_daemon(machine)
    open_ = f"{STATE} {STATE}/jobs {STATE}/nix.conf.d"
    job.machine.sh(f"mkdir -m 777 {open_}; install -m 777 /bin/true {STATE}/hook; chown runner {STATE}/hook")
    job.run("setup")
    assert job.machine.sh(f"find {open_} {STATE}/hook -prune -perm /022 -o -prune ! -user root").stdout == ""
    path = job.build("something")
    job.run("finish")
    assert path in job.cached()
