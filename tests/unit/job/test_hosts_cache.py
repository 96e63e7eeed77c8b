"""`gha://`: when it is the default, what a job may do with it, and who gets what opens it."""

import json
from pathlib import Path

import pytest

from nix_autocache.ci.detect import detect
from nix_autocache.cli import push
from nix_autocache.errors import InputError, RunnerError
from nix_autocache.job import decision, exposures, preflight, read_spec, upload_spec
from nix_autocache.job.context import Context
from nix_autocache.job.plan import SetupPlan
from nix_autocache.machine import modes
from nix_autocache.machine.managed import configuration
from nix_autocache.machine.modes import Mode
from nix_autocache.machine.observe import Facts
from nix_autocache.machine.packages import locked
from nix_autocache.nix.keys import generate
from nix_autocache.nix.store import Nix
from nix_autocache.schemes import table
from nix_autocache.settings import read
from nix_autocache.system.dataclass import replace
from nix_autocache.uploader import spec_text
from nix_autocache.uploader.access import CacheAccess
from nix_autocache.uploader.environment import relevant_environment
from nix_autocache.uploader.read_proxy.address import Address
from nix_autocache.uploader.secrets import Secrets
from tests.harness import events
from tests.harness.actions_cache import READ, WRITE, token
from tests.harness.samples import BARE_MACHINE

KEY = generate("cache-1")
MAIN, PULL = "refs/heads/main", "refs/pull/7/merge"
TOKEN = token({MAIN: READ | WRITE})
HERE = {
    "ACTIONS_RUNTIME_TOKEN": TOKEN,
    "ACTIONS_RESULTS_URL": "https://results-receiver.actions.githubusercontent.com/",
    "ACTIONS_CACHE_URL": "https://acghubeus1.actions.githubusercontent.com/secret/",
    "ACTIONS_CACHE_SERVICE_V2": "True",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_RUN_ID": "1",
    "GITHUB_RUN_ATTEMPT": "1",
}
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "acme/project",
    "GITHUB_REF": MAIN,
    "GITHUB_WORKFLOW": "ci",
    "GITHUB_JOB": "build",
    "RUNNER_ENVIRONMENT": "github-hosted",
    "HOME": "/nonexistent",
    **events.github("push"),
}
ACTION = {**GITHUB, **HERE}
ACT = {**GITHUB, "ACT": "true", "ACTIONS_CACHE_URL": "http://192.168.1.2:4321/secret/"}
FORK = {
    **ACTION,
    **events.github("pull_request-fork"),
    "GITHUB_REF": PULL,
    "GITHUB_BASE_REF": "main",
    "ACTIONS_RUNTIME_TOKEN": token({PULL: READ | WRITE, MAIN: READ}),
}
TARGET = {**ACTION, **events.github("pull_request_target-fork")}
GITLAB = {"CI_JOB_ID": "1", "CI_PIPELINE_SOURCE": "push", "CI_PROJECT_DIR": "/nonexistent", **HERE}
SCANNING = replace(BARE_MACHINE, sudo=False, nix=Path("/usr/bin"), daemon="answers")


def context(environ: dict[str, str], **inputs: str) -> Context:
    given = {name.replace("_", "-"): value for name, value in inputs.items()}
    return Context(read(given, {}, {}), detect(environ), environ)


def plan(job: Context, facts: Facts = BARE_MACHINE) -> SetupPlan:
    return SetupPlan.make(job, facts, modes.decide(facts, job.settings.mode))


def upload_access(job: Context) -> CacheAccess:
    made = plan(job)
    state = made.begin(Nix(Path("/usr/bin")), Address(1, "nonce"))
    environ = relevant_environment(job.environ, made.destination.url.row)
    known = Secrets(key=job.settings.signing_key, environ=environ)
    return upload_spec.of_job(job, state, made.destination, known).access


def reading_access(job: Context) -> CacheAccess:
    made = plan(job)
    spec = read_spec.of(job, made.begin(Nix(Path("/usr/bin")), Address(1, "nonce")), made.destination, None)
    assert spec
    return spec.access


@pytest.mark.parametrize("environ", [ACTION, ACT, {**ACTION, "GITHUB_SERVER_URL": "https://git.example.org"}])
def test_it_is_the_default_where_a_step_has_its_variables(environ: dict[str, str]) -> None:
    made = plan(context(environ))
    assert str(made.destination.url) == "gha://"
    assert (made.verdict.push, made.dry_run, made.read_proxy) == (True, False, True)
    known = made.destination.with_job_key()
    assert known.job_key, "what Nix reads is signed for this job alone"
    assert not context(environ).is_dry_run(known)
    assert context(environ).lacks(known) == ""
    assert any("push to gha:// and read it through our proxy" in line for line in made.lines())


@pytest.mark.parametrize(
    "environ",
    [
        GITHUB,  # a `run:` step, or a runner without a cache
        {**GITHUB, "ACTIONS_CACHE_URL": ""},
        {**ACTION, "GITHUB_REPOSITORY": ""},
        GITLAB,
        {"HOME": "/nonexistent", **HERE},
    ],
)
def test_elsewhere_the_default_is_a_directory(environ: dict[str, str]) -> None:
    assert context(environ).destination().url.directory


def test_a_cache_that_is_given_is_taken() -> None:
    assert str(context(ACTION, cache="file:///srv/cache").destination().url) == "file:///srv/cache"
    assert str(context(ACTION, cache="gha://?priority=30").destination().url) == "gha://?priority=30"


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        (GITLAB, "is kept by GitHub for the jobs of a repository; on GitLab CI, take another cache"),
        ({"HOME": "/nonexistent", **HERE}, "here, take another cache"),
        (GITHUB, "can be reached by the steps of an action (`uses:`) only"),
        ({**ACTION, "GITHUB_REF": ""}, "this job's event names none (GITHUB_REF and GITHUB_REPOSITORY)"),
    ],
)
def test_where_it_cannot_be_reached_it_is_a_wrong_input(environ: dict[str, str], says: str) -> None:
    with pytest.raises(InputError) as caught:
        context(environ, cache="gha://").made_destination()
    assert str(caught.value).startswith("cache: gha://")
    assert says in str(caught.value)


def test_a_machine_cannot_be_provisioned_with_it(tmp_path: Path) -> None:
    file = tmp_path / "managed.toml"
    file.write_text(f'cache = "gha://"\nsigning-key = "{KEY}"\n')
    with pytest.raises(InputError, match="gha:// is kept by GitHub for the jobs of a repository"):
        configuration.load(file)
    file.write_text(f'cache = "s3://b"\nsigning-key = "{KEY}"\n[environment]\nACTIONS_RUNTIME_TOKEN = "t"\n')
    with pytest.raises(InputError, match="ACTIONS_RUNTIME_TOKEN is no variable of"):
        configuration.load(file)


@pytest.mark.parametrize("url", ["gha://name", "gha:///name", "gha://me@", "gha://?region=x"])
def test_nothing_follows_its_name_but_a_few_parameters(url: str) -> None:
    with pytest.raises(InputError):
        context(ACTION, cache=url)


def test_on_a_managed_machine_the_machines_cache_counts() -> None:
    made = plan(context(ACTION), replace(SCANNING, provisioned=True))
    assert made.rule.mode is Mode.MANAGED
    assert "gha" not in "".join(made.lines())


def test_without_a_key_a_forks_pull_request_writes_its_own_scope() -> None:
    made = plan(context(FORK))
    assert made.verdict.push
    assert made.verdict.unsolved[4].startswith("every action of the job, and with `id-token: write` every step")


@pytest.mark.parametrize("push", ["auto", "always"])
@pytest.mark.parametrize("key", ["", str(KEY)], ids=["no key", "a key"])
def test_no_input_makes_an_untrusted_event_write_what_trusted_ones_read(push: str, key: str) -> None:
    made = plan(context(TARGET, push=push, signing_key=key))
    assert not made.verdict.push
    assert "pull_request_target is not trusted" in made.verdict.reason
    assert made.read_proxy


def test_with_a_key_it_is_judged_like_any_cache() -> None:
    assert not plan(context(FORK, signing_key=str(KEY))).verdict.push
    assert plan(context(FORK, signing_key=str(KEY), push="always")).verdict.warning
    assert "GitHub's cache" not in plan(context(ACTION, signing_key=str(KEY))).verdict.unsolved[4]
    assert not plan(context(ACTION, push="never")).verdict.push


@pytest.mark.parametrize("harden", ["true", "false"])
def test_without_a_key_nothing_solves_the_fourth_limitation(harden: str) -> None:
    made = plan(context(ACTION, harden=harden))
    expected = "every action of the job, and with `id-token: write` every step, can write GitHub's cache"
    assert (made.verdict.push, dict(made.verdict.unsolved)) == (True, {4: expected})


def test_the_token_is_no_exposure_of_a_hardened_job_with_a_key(tmp_path: Path) -> None:
    """Who has it can hide and delete, and cannot sign."""
    key = tmp_path / "key"
    key.write_text(str(KEY))
    job = context(ACTION, signing_key=f"file:{key}", harden="true")
    facts = replace(BARE_MACHINE, sudo=True)
    mode = modes.decide(facts, "auto").mode
    ways = exposures.known(job, facts, mode, job.destination(), locked_down=True)
    assert not [way for way in ways if "ACTIONS" in way or "GitHub's cache" in way]
    assert plan(job, facts).separate_user


def test_with_public_keys_alone_a_job_reads_what_others_signed() -> None:
    made = plan(context(ACTION, public_keys=str(KEY.public)))
    assert (made.verdict.push, made.destination.unsigned, made.read_proxy) == (False, False, True)
    assert "nothing could verify what this job would write" in made.verdict.reason


def test_a_job_that_may_only_read_says_why() -> None:
    made = plan(context({**ACTION, "ACTIONS_CACHE_MODE": "read"}))
    assert (made.verdict.push, made.verdict.reason) == (
        False,
        "this job may not write GitHub's cache (ACTIONS_CACHE_MODE is read)",
    )


def test_a_job_that_may_not_even_read_does_neither_and_no_warning_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    job = context({**ACTION, "ACTIONS_CACHE_MODE": "none"})
    made = plan(job)
    assert (made.verdict.push, made.read_proxy) == (False, False)
    preflight.warn(job, made)
    said = capsys.readouterr().out
    assert "(ACTIONS_CACHE_MODE is none): Nix does not read the cache\n" in said
    assert "::warning" not in said


@pytest.mark.parametrize("facts", [SCANNING, BARE_MACHINE])
def test_where_nix_cannot_read_it_one_warning_says_so(facts: Facts, capsys: pytest.CaptureFixture[str]) -> None:
    job = context({**ACTION, "http_proxy": "http://proxy:3128"})
    made = plan(job, facts)
    assert (made.verdict.push, made.read_proxy) == (True, False)
    preflight.warn(job, made)
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::warning")]
    assert len([line for line in warnings if "Nix does not read the cache, which is only written" in line]) == 1


@pytest.mark.parametrize("key", ["", str(KEY)], ids=["no key", "a key"])
def test_the_plan_says_that_nix_cannot_read_it_by_itself(key: str) -> None:
    made = plan(context({**ACTION, "http_proxy": "http://proxy:3128"}, signing_key=key))
    assert any("push to gha:// and do not read it" in line for line in made.lines())


def test_on_a_managed_machine_no_warning_is_about_it(capsys: pytest.CaptureFixture[str]) -> None:
    job = context({**ACTION, "http_proxy": "http://proxy:3128"})
    preflight.warn(job, plan(job, replace(SCANNING, provisioned=True)))
    assert "Nix does not read the cache" not in capsys.readouterr().out


def test_a_key_that_only_the_uploader_knows_verifies_nothing_and_a_warning_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for keys, warned in (("", True), (str(KEY.public), False)):
        job = context(ACTION, signing_key="aws-ssm:/key", public_keys=keys)
        preflight.warn(job, plan(job))
        assert ("nothing of gha:// is read" in capsys.readouterr().out) == warned


def test_push_writes_nothing_that_the_event_may_not_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "find_nix", lambda _: Nix(Path("/usr/bin")))
    with pytest.raises(RunnerError, match="cannot push to gha://: pull_request_target is not trusted"):
        push.push(context(TARGET), ["/nix/store/x"])


def test_the_variables_reach_the_uploader_with_the_lanes_and_the_size() -> None:
    access = upload_access(context(ACTION))
    assert access.environ.items() >= HERE.items()
    assert (len(access.lanes), access.size_limit) == (1, 5 * 10**9)
    access = upload_access(context(FORK, cache_size="70"))
    assert (len(access.lanes), access.size_limit) == (2, 70 * 10**6)
    assert upload_access(context(FORK)).size_limit == 10**9
    assert access.lanes[1] == upload_access(context(ACTION)).lanes[0], "the base branch's lane is read"
    assert vars(spec_text.parse(CacheAccess, spec_text.line(access).decode())) == vars(access)
    assert TOKEN not in repr(access)


def test_the_read_proxy_of_a_job_that_only_pulls_has_them_and_no_other_credentials() -> None:
    job = context({**TARGET, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"})
    access = reading_access(job)
    assert access.environ.items() >= HERE.items()
    assert "AWS_ACCESS_KEY_ID" not in access.environ
    assert not access.anonymous


@pytest.mark.parametrize("cache", ["s3://bucket", "file:///srv/cache", "https://cache.example.org"])
def test_of_another_cache_neither_gets_them(cache: str) -> None:
    job = context(ACTION, cache=cache, signing_key=str(KEY))
    for access in (upload_access(job), reading_access(job)):
        assert not set(HERE) & set(access.environ)
        assert access.lanes == ()


def test_no_nix_that_the_uploader_starts_gets_them() -> None:
    assert set(HERE) <= {name for name in HERE if name.startswith(table.credential_prefixes())}


def test_they_are_masked_where_the_cache_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    job = context(ACTION)
    decision.mask(job, job.destination())
    assert capsys.readouterr().out.splitlines() == [
        f"::add-mask::{HERE[name]}" for name in ("ACTIONS_RUNTIME_TOKEN", "ACTIONS_CACHE_URL")
    ]
    job = context(ACTION, cache="file:///srv/cache")
    decision.mask(job, job.destination())
    assert capsys.readouterr().out == ""


def test_a_job_with_it_needs_no_client_of_object_stores() -> None:
    job = context(ACTION)
    names = [lock.name for lock in locked.wanted(job.settings, {}, job.cache).locks]
    assert names == ["gha.txt"]
    texts = {name: locked.shared(None, {}).locks[0].with_name(name).read_text() for name in ("base.txt", "gha.txt")}
    assert "obstore" in texts["base.txt"]
    assert "obstore" not in texts["gha.txt"]
    assert set(texts["gha.txt"].splitlines()) < set(texts["base.txt"].splitlines())
    in_aws = context(ACTION, signing_key="aws-ssm:/key")
    assert [lock.name for lock in locked.wanted(in_aws.settings, {}, in_aws.cache).locks] == ["gha.txt", "aws.txt"]
    assert [lock.name for lock in locked.wanted(job.settings, {}, None).locks] == ["base.txt"]


def test_packages_that_are_here_already_are_taken(tmp_path: Path) -> None:
    job, environ = context(ACTION), {"RUNNER_TOOL_CACHE": str(tmp_path)}
    full = locked.wanted(job.settings, environ, None)
    (tmp_path / "nix-autocache" / full.name).mkdir(parents=True, mode=0o755)
    found = locked.wanted(job.settings, environ, job.cache)
    assert (found.name, found.directory) == (full.name, tmp_path / "nix-autocache" / full.name)


def test_the_job_of_an_action_has_no_index_beside_the_cache() -> None:
    job = context(ACTION)
    assert upload_spec.indexes(job, job.destination()) == ()
    assert json.loads(spec_text.line(upload_access(job)))["lanes"], "the index is inside"
