"""Jobs without a stored secret: the id token of the CI host for a role in AWS, and the signing key from there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nix_autocache.nix import keys
from tests.conftest import MakeMachine
from tests.harness import binary_cache, graphs, nix, product
from tests.harness.aws import GIVEN, ROLE, Account, in_machine
from tests.harness.job import Job
from tests.harness.machine import Machine

KEY = keys.generate("cache-1")


@pytest.fixture
def builder(machine: MakeMachine) -> Machine:
    made = machine(binds=product.binds())
    nix.without_daemon(made)
    return made


@pytest.fixture
def account(builder: Machine, tmp_path: Path) -> Iterator[Account]:
    with in_machine(builder, tmp_path / "aws") as account:
        account.keep(str(KEY))
        yield account


def job(builder: Machine, account: Account, key: str = "aws-ssm:/ci/key", **env: str) -> Job:
    inputs = {"cache": account.cache, "aws-role": ROLE, "signing-key": key}
    return Job(builder, inputs=inputs, env={**account.env(), **account.github(), **env}, name="job")


def pushed(account: Account) -> set[str]:
    return {binary_cache.name_of(binary_cache.parse(text)["StorePath"]) for text in account.objects().values()}


def test_a_repository_needs_no_stored_secret(builder: Machine, account: Account) -> None:
    one = job(builder, account)
    one.set_up("existing-single-user")
    assert str(KEY.public) in builder.sh("cat /etc/nix/nix-autocache.conf").stdout
    nix.build(builder, graphs.leaf("first"))
    assert "1 pushed" in one.said("flush")

    account.control(expired="all")
    nix.build(builder, graphs.leaf("second"))
    assert "2 pushed" in one.said("flush")
    assert account.control()["sessions"] == 4, "the uploader and the reader have one each, and each renewed it once"

    Job(builder).kill_uploader()
    nix.build(builder, graphs.leaf("third"))
    said = one.said("finish")
    assert "uploading from here" in said
    assert f"::add-mask::{KEY}" in said
    assert pushed(account) == {"first", "second", "third"}
    assert all(binary_cache.parse(text)["Sig"].startswith("cache-1:") for text in account.objects().values())
    secret = str(KEY).partition(":")[2]
    assert builder.sh(f"grep -rslF '{secret}' /var/lib/nix-autocache /etc/nix /root /tmp || true").stdout == ""


def test_the_role_and_its_key_are_tried(builder: Machine, account: Account) -> None:
    done = job(builder, account).run("check", check=False)
    for row in ("signing key cache-1 is trusted", "a new path can be written", "Nix takes it, with a signature"):
        assert f"  yes        {row}" in done.stdout.replace("the signing", "signing"), done.stdout + done.stderr


def test_a_token_in_a_variable_and_a_key_in_secrets_manager(builder: Machine, account: Account) -> None:
    path = nix.build(builder, graphs.leaf("one"))
    inputs = {"cache": account.cache, "aws-role": ROLE, "signing-key": "aws-secretsmanager:/ci/key"}
    one = Job(builder, inputs=inputs, env={**account.env(), "NIX_AUTOCACHE_ID_TOKEN": GIVEN})
    assert "1 pushed" in one.said("push", path)
    assert pushed(account) == {"one"}


def test_an_untrusted_event_asks_nothing_of_aws(builder: Machine, account: Account) -> None:
    one = job(builder, account, GITHUB_EVENT_NAME="pull_request_target")
    said = one.said("setup")
    assert "pull only: pull_request_target" in said
    one.said("finish")
    assert (account.control()["tokens"], account.control()["asked"]) == (0, [])


def test_nor_does_it_where_the_cache_is_tried(builder: Machine, account: Account) -> None:
    one = job(builder, account, GITHUB_EVENT_NAME="pull_request_target")
    one = Job(builder, inputs={**one.inputs, "check": "true"}, env=one.env, name="job")
    said = one.said("setup", check=False)
    assert "check: it can be written to: not tried: pull_request_target" in said, said
    assert (account.control()["tokens"], account.control()["asked"]) == (0, [])


def test_what_is_wrong_is_one_line(builder: Machine, account: Account) -> None:
    nothing = dict.fromkeys(account.github(), "")
    said = job(builder, account, **nothing).said("setup")
    assert "::notice title=nix-autocache::pull only: there is no id token for aws-role" in said
    assert "id-token: write" in said

    missing = job(builder, account, "aws-ssm:/ci/none").run("setup", check=False)
    assert missing.returncode == 2
    assert "signing-key: aws-ssm:/ci/none in eu-west-1: there is none" in missing.stdout

    account.control(refuse="AccessDenied")
    said = job(builder, account).said("setup")
    assert f"::not pushing: AWS does not let this job assume {ROLE}" in said
