"""Attacks on what is signed, by the job's own code in a sealed job: the store, the queue, the hook, Nix's settings.

Whatever they try, what is built afterwards is pushed as Nix made it.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import graphs, sealing
from tests.harness.attacks import EVIL, prepare
from tests.harness.job import BUILD
from tests.harness.sealing import Sealed

STATE = "/var/lib/nix-autocache"
JOB = f"{STATE}/jobs/local-1000"
# All succeed for root, in this order.
REFUSED = [
    "touch /nix/store/x",
    "path=$(nix-build --no-out-link /tmp/leaf.nix); chmod u+w $path && echo poison >>$path",
    "ls /nix/var/nix/gcroots/nix-autocache && touch /nix/var/nix/gcroots/nix-autocache/local-1000/x",
    "nix-store --import </tmp/archive",
    "nix-store --verify --repair",
    f"echo >{JOB}/queue/new/{'a' * 32}-x.drv",
    f"ln -s /etc/shadow {JOB}/queue/new/{'b' * 32}-x.drv",
    f"mkdir {STATE}/jobs/made",
    f"echo >>{JOB}/uploader.log",
    f"echo >>{STATE}/hook",
    f"echo >>$(find {STATE}/program -name drain.py)",
    f"touch $(dirname $(find {STATE}/program -name 'drain.*.pyc'))/x",
    f"cat {STATE}/hardened.json >/tmp/hardened && cp /tmp/hardened {STATE}/hardened.json",
    "echo 'trusted-users = runner' >>/etc/nix/nix.conf",
    "echo 'trusted-users = runner' >>/etc/nix/nix-autocache.conf",
    "touch /etc/sudoers.d/evil",
    "sudo -n true",
    "rm /etc/sudoers.d/zzzzzzzz-nix-autocache",
    f"flock --nonblock {STATE}/lock true",
    f"set +e; flock --nonblock {JOB}/queue/lock true; [ $? = 1 ] && [ -r {JOB}/queue/lock ]",
    f"rm {STATE}/hook",
    f"mv {JOB}/queue/new {JOB}/queue/old",
    f"rm {JOB}/uploader.sock",
    f"mv {JOB}/queue {JOB}/other",
    f"mv {JOB} {STATE}/jobs/other",
    "renice 18 $(cat /tmp/uploader)",
    "kill -STOP $(cat /tmp/uploader)",
    "kill -KILL $(cat /tmp/uploader)",
    "echo >>/nix/var/nix/db/db.sqlite",
]


def digest(text: str) -> str:
    """A name for a derivation, the same in each run."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    with sealing.sealed(tmp_path_factory.mktemp("sealed"), prepare=prepare) as made:
        made.machine.write("/tmp/uploader", str(made.uploader()))
        yield made


@pytest.fixture(autouse=True)
def what_is_built_is_pushed_all_the_same(request: pytest.FixtureRequest) -> Iterator[None]:
    """And no program of the attacker ran as anybody else."""
    yield
    if "sealed" not in request.fixturenames:
        return
    sealed = request.getfixturevalue("sealed")
    name = f"after-{digest(request.node.name)}"
    path = sealed.job.build(name)
    said = sealed.job.said("flush")
    assert sealed.cached()[name]["StorePath"] == path, said
    assert not sealed.machine.exists("/tmp/evil-ran")


@pytest.mark.parametrize("attack", REFUSED)
def test_the_jobs_user_is_refused(sealed: Sealed, attack: str) -> None:
    done = sealed.attack(attack)
    assert done.returncode, done.stdout


def test_only_the_user_stands_in_the_way_of_these_attacks(tmp_path: Path) -> None:
    """Root succeeds with each of them, so none fails for a reason of its own."""
    with sealing.job(tmp_path, prepare=prepare) as sealed:
        sealed.job.run("setup")
        sealed.machine.write("/tmp/uploader", str(sealed.uploader()))
        failed = [attack for attack in REFUSED if sealed.attack(attack, user="root").returncode]
    assert failed == []


def test_signatures_that_the_user_adds_bring_nothing_into_a_narinfo_but_a_few_signatures(sealed: Sealed) -> None:
    """The daemon lets everybody add signatures of any bytes, number and size, and does not look at them."""
    sealed.machine.write("/tmp/signed.nix", graphs.leaf("signed"))
    # Queued only when it was signed.
    sealed.machine.sh(f"cp -p {STATE}/hook /tmp/hook; echo '#!/bin/sh' >{STATE}/hook")
    formed = [f"{name}:{'A' * 86}==" for name in ("evil-2", "test-1", *(f"many-{number}" for number in range(50)))]
    odd = ["evil-1:AAAA\nURL: nar/evil.nar", "evil-3:AAAA", "no signature", ""]
    bytes_of_any_kind = [text.encode().hex() for text in (*formed, *odd)] + ["6576696c2d313aff", "ff*40000000"]
    try:
        path = sealed.job.sh("nix-build --no-out-link /tmp/signed.nix").stdout.strip()
        done = sealed.python("add_signatures.py", path, *bytes_of_any_kind)
        assert done.returncode == 0, done.stderr
    finally:
        sealed.machine.sh(f"cp -p /tmp/hook {STATE}/hook")
    sealed.machine.write("/tmp/using.nix", graphs.using(path))
    sealed.job.sh("nix-build --no-out-link /tmp/using.nix")
    sealed.job.run("flush")
    hash_part = path.rpartition("/")[2][:32]
    text = (sealed.server.directory / f"{hash_part}.narinfo").read_text()
    assert "evil.nar" not in text
    assert f"Sig: {formed[0]}\n" in text
    assert formed[1] not in text
    assert text.count("Sig: ") == 33
    assert len(text) < 8192
    peak = sealed.machine.sh(f"grep VmHWM /proc/{sealed.uploader()}/status").stdout.split()[1]
    assert int(peak) < 150_000


@pytest.mark.parametrize(
    "options",
    [
        f"--option post-build-hook {EVIL}",
        f"--option pre-build-hook {EVIL}",
        f"--option diff-hook {EVIL} --option run-diff-hook true",
        f"--option build-hook {EVIL}",
        "--option trusted-users runner",
        "--option sandbox false",
        "--option require-sigs false",
        f"--option sandbox-paths /bin/sh={EVIL}",
        "--option substituters file:///home/runner/cache?trusted=true",
    ],
)
def test_an_option_that_only_a_trusted_user_may_set_changes_nothing(sealed: Sealed, options: str) -> None:
    name = f"option-{digest(options)}"
    sealed.machine.write(f"/tmp/{name}.nix", BUILD.format(name=name))
    sealed.attack(
        f"nix-build --no-out-link /tmp/{name}.nix {options}; nix-build --no-out-link /tmp/{name}.nix --check {options}"
    )
    for config in (f"post-build-hook = {EVIL}", "trusted-users = runner"):
        sealed.machine.sh(f"NIX_CONFIG='{config}' nix-build --no-out-link /tmp/{name}.nix", user="runner")
    path = sealed.job.sh(f"nix-build --no-out-link /tmp/{name}.nix").stdout.strip()
    assert sealed.machine.read(path) == f"{name}\n"


def test_what_is_built_in_a_store_of_the_users_own_is_not_pushed(sealed: Sealed) -> None:
    """The same derivation, with an output that is another: a store of one's own can hold anything."""
    sealed.machine.write("/tmp/own.nix", graphs.leaf("in-own-store"))
    sealed.attack("nix-build --no-out-link --store /home/runner/store /tmp/own.nix --option sandbox false")
    sealed.job.run("flush")
    assert "in-own-store" not in sealed.cached()


def test_depending_on_a_path_that_could_not_be_imported_fails(sealed: Sealed) -> None:
    sealed.machine.write("/tmp/using.nix", graphs.using(sealed.machine.read("/tmp/slipped")))
    done = sealed.attack("nix-store --import </tmp/archive; nix-build --no-out-link /tmp/using.nix")
    assert "signature" in done.stderr, done.stderr
    assert done.returncode
    assert "slipped-in" not in sealed.cached()


def test_what_the_user_adds_is_pushed_under_a_name_that_is_made_from_its_content(sealed: Sealed) -> None:
    """A source is not an import: nobody who does not name this very content is given it."""
    sealed.machine.write("/home/runner/source", "content", owner="runner")
    path = sealed.job.sh("nix-store --add /home/runner/source").stdout.strip()
    sealed.machine.write("/tmp/using.nix", graphs.using(path))
    sealed.job.sh("nix-build --no-out-link /tmp/using.nix")
    sealed.job.run("flush")
    assert sealed.cached()["source"]


def test_the_jobs_user_cannot_end_the_uploader_by_its_socket(sealed: Sealed) -> None:
    pid = sealed.uploader()
    said = sealed.python("ask.py", f"{sealed.job.directory()}/uploader.sock", '{"do": "stop"}').stdout
    assert json.loads(said)["error"] == "only root ends this uploader"
    assert sealed.uploader() == pid


def test_a_forged_note_of_the_set_up_gives_the_post_step_no_key(sealed: Sealed) -> None:
    """The note belongs to the job, and only the job's own steps follow it."""
    note = f"{sealed.job.directory()}/steps/setup.json"
    before = sealed.machine.read(note)
    facts = {**json.loads(before), "separate_user": False, "cache": "file:///home/runner/cache"}
    sealed.machine.write(note, json.dumps(facts), owner="runner")
    done = sealed.job.run("finish", check=False)
    assert "file:///home/runner/cache" not in done.stdout
    assert sealed.secret not in done.stdout + done.stderr
    sealed.uploader()
    sealed.machine.write(note, before, owner="runner")
