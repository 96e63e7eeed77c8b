"""The GitLab component under gitlab-ci-local: what a job's uploads and caches do."""

import base64
import random
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import gitlab, graphs, nix, product, programs
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.pipelines import FORK, PROJECT, PROTECTED, SCRIPT, cached, environment, fresh, pipeline, runs
from tests.harness.roots import NEW


@pytest.fixture
def runner(machine: MakeMachine, tmp_path: Path) -> Machine:
    return fresh(machine, tmp_path)


def test_the_second_pipeline_builds_nothing(machine: MakeMachine, tmp_path: Path) -> None:
    for built in (True, False):
        made = fresh(machine, tmp_path)
        done = runs(made, pipeline(), expression=graphs.CHAIN)
        assert done.returncode == 0, done.text
        assert ("building '/nix/store/" in done.log) is built, done.log
        assert ("copying path '/nix/store/" in done.log) is not built, done.log
        metrics = made.read(f"{PROJECT}/.nix-autocache/metrics.txt")
        assert f"nix_autocache_paths_pushed {7 if built else 0}\n" in metrics


def test_a_failing_script_flushes_and_its_cache_is_kept(runner: Machine) -> None:
    done = runs(runner, pipeline(), expression=graphs.FAILING)
    assert done.returncode == 1
    assert "2 pushed" in done.log
    assert runner.exists(f"{gitlab.KEPT}/nix-autocache-false--build-non_protected.tar")
    assert {path[44:] for path in cached(runner).split()} == {"good", "better"}


@pytest.mark.parametrize("user", ["root", "ci"])
def test_nothing_is_lost_when_every_process_ends_with_the_script(machine: MakeMachine, user: str) -> None:
    """As in Docker's executor: neither our processes nor the nix-daemon live when after_script begins."""
    made = machine(NEW, [*product.binds(), *gitlab.binds()[:2]])
    made.add_user("ci", sudo=True)
    nix.with_daemon(made)
    ours = {"uploader": "uploader[.]process[.]main", "proxy": "uploader[.]read_proxy[.]main", "daemon": "^nix-daemon"}
    for what, program in ours.items():
        name = f"end-{what}"
        made.write(f"/usr/local/bin/{name}", f"#!/bin/sh\nexec sudo pkill -KILL -f {program}\n", 0o755)
    made.sh("mkdir -p /builds/acme; chown -R ci /builds")
    done = runs(
        made, pipeline("end-uploader", SCRIPT, "end-proxy", "end-daemon"), expression=graphs.independent(5), user=user
    )
    assert done.returncode == 0, done.text
    assert done.log.count("the read proxy is gone") == 1
    assert "no uploader is alive; uploading from here" in done.log
    assert "5 pushed" in done.log
    assert len(cached(made).split()) == 5


def test_a_forks_merge_request_only_pulls(runner: Machine) -> None:
    given = {"cache": "file:///srv/cache", "signing-key": "$KEY"}
    done = runs(runner, pipeline(inputs=given), {**FORK, "KEY": "this is no key and would be refused if it was read"})
    assert done.returncode == 0, done.text
    assert "notice: pull only: merge_request_event from a fork is not trusted" in done.log
    assert "warning" not in done.log
    assert not cached(runner, "/srv/cache")
    key = Job(runner).keygen()
    own = {**FORK, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1217", "KEY": key}
    assert runs(runner, pipeline(inputs=given), own, expression=graphs.leaf("own")).returncode == 0
    assert cached(runner, "/srv/cache").endswith("-own\n")


def test_other_refs_read_what_protected_ones_made_and_cannot_overwrite_it(machine: MakeMachine, tmp_path: Path) -> None:
    first = runs(fresh(machine, tmp_path), pipeline(), PROTECTED)
    assert "1 pushed" in first.log, first.text
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = runs(fresh(machine, tmp_path), pipeline())
    assert "copying path '/nix/store/" in other.log, other.text
    on_top = f'let {graphs.SHELL} one = {graphs.leaf("one")}; in sh "more" "echo ${{one}} > $out"'
    more = runs(fresh(machine, tmp_path), pipeline(), expression=on_top)
    assert "1 pushed, 1 upstream" in more.log, more.text
    assert made == {name: (tmp_path / name).read_bytes() for name in made}
    assert "building" in runs(fresh(machine, tmp_path), pipeline(), PROTECTED, on_top).log


def test_what_others_put_into_a_cache_is_not_unpacked_on_a_protected_ref(runner: Machine) -> None:
    """A pipeline of an unprotected branch may say anything of `cache:`, and an archive may hold any path."""
    runner.sh("mkdir /tmp/x; echo evil >/tmp/x/evil")
    for key in ("published-build", "true--build", "false--build"):
        runner.sh(f"tar -C /tmp/x -cf {gitlab.KEPT}/nix-autocache-{key}-non_protected.tar evil")
    assert runs(runner, pipeline(), PROTECTED).returncode == 0
    assert not runner.exists(f"{PROJECT}/evil")
    assert runs(runner, pipeline()).returncode == 0
    assert runner.exists(f"{PROJECT}/evil"), "the archives are where a runner would look"


def test_the_kept_cache_stays_below_its_size_by_least_recent_use(machine: MakeMachine, tmp_path: Path) -> None:
    """Two megabytes hold two of these three, which zstd makes little smaller. Use is what a job fetched, too."""
    names = ("first", "second", "first", "third")
    for name in names:
        made = fresh(machine, tmp_path)
        two_days_later(made)
        made.write("/etc/noise", base64.encodebytes(random.Random(name).randbytes(900_000)))
        copied = f"exec <${{/etc/noise}} >$out; while read -r line; do echo $line; done; echo {name}"
        expression = f'let {graphs.SHELL} in sh "{name}" "{copied}"'
        done = runs(made, pipeline(inputs={"cache-size": 2}), expression=expression)
        assert done.returncode == 0, done.text
    assert {path[44:] for path in cached(made).split()} == {"first", "third"}
    assert "removed 1 paths" in done.log
    assert len(made.sh(f"ls {PROJECT}/.nix-autocache/unprotected/nar").stdout.split()) == 2


def two_days_later(machine: Machine) -> None:
    """As the archives of earlier jobs are two days on: a use is noted once a day."""
    machine.run(programs.shell("age_archives.sh", gitlab.KEPT))


def test_an_upload_that_fails_fails_the_job_only_if_asked(runner: Machine) -> None:
    """GitLab ignores the exit status of after_script, so the end of the script must fail the job."""
    spoil = (
        "pkill -KILL -f uploader[.]process[.]main",
        SCRIPT,
        "chmod u+w /nix/store/*-spoilt; echo >>$(echo /nix/store/*-spoilt)",
    )
    codes = {}
    for asked, *rest in (("warn",), ("fail",), ("fail", "exit 7")):
        text = pipeline(*spoil, *rest, inputs={"on-upload-failure": asked})
        done = runs(runner, text, expression=graphs.leaf("spoilt"))
        codes[asked, *rest] = done.status
        assert "was changed on disk" in done.log, done.text
        runner.sh("rm -rf /nix/store/*-spoilt /nix/var/nix/db")
    assert codes == {("warn",): 0, ("fail",): 1, ("fail", "exit 7"): 7}


def test_a_trap_of_the_scripts_own_is_noticed(runner: Machine) -> None:
    done = runs(runner, pipeline("trap 'echo mine' EXIT", SCRIPT, inputs={"on-upload-failure": "fail"}))
    assert done.returncode == 0
    assert "a failed upload cannot fail this job" in done.log
    assert "1 pushed" in done.log


def test_the_flush_ends_with_the_time_that_after_script_has(runner: Machine) -> None:
    given = {"cache": "http://127.0.0.1:9", "signing-key": "$KEY"}
    key = Job(runner).keygen()
    env = {**environment(), "NIX_CONFIG": "download-attempts = 1"}
    done = runs(runner, pipeline(inputs=given), {"KEY": key, "RUNNER_AFTER_SCRIPT_TIMEOUT": "16s"}, env=env)
    assert done.returncode == 0
    assert "were not pushed in time" in done.log, done.text
    (waited,) = re.findall(r"in (\d+\.\d) s of waiting", done.log)
    assert float(waited) < 600, "the flush-timeout"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"extra-nix-conf": '"a = 1\\n=end-of-inputs=\\n); id; : $(true"'}, "does not match required regex"),
        ({"public-keys": '"=push=\\nalways"'}, "does not match required regex"),
        ({"install": '"/nix-autocache\\n=end-of-install=\\n); id; : $(true"'}, "does not match required regex"),
        ({"push": "maybe"}, "`push` input: `maybe` cannot be used"),
        ({"flush-timeout": "soon"}, "`flush-timeout` input: provided value is not a number"),
        ({"harden": "true"}, "`harden` input: provided value is not a string"),
        ({"cache": "bucket"}, "cache: 'bucket' is not a store URL"),
        ({"flush-timeout": "0"}, "flush-timeout: '0' is not a whole number"),
        ({"exclude": "("}, "exclude: '(' is not a regular expression"),
        ({"install": "''"}, "install: this copy of the template is not of a release"),
        ({"install": "nix-autocache==1"}, "has no --hash=sha256:"),
        ({"install": "git+https://host/it@main"}, "whole commit of 40"),
        ({"install": "./elsewhere"}, "there is no directory ./elsewhere"),
        ({"install": "/etc"}, "holds no nix-autocache"),
    ],
)
def test_a_wrong_input_is_one_clear_line(runner: Machine, given: Mapping[str, str], complaint: str) -> None:
    done = runs(runner, pipeline(inputs=given))
    assert done.returncode != 0
    lines = [line for line in (done.log or done.text).splitlines() if complaint in line]
    assert len(lines) == 1, done.text
    assert "Traceback" not in done.text
    assert not runner.sh("ls -d /tmp/nix-autocache-* || true").stdout
