"""A role assumed with the job's id token, keys that are in AWS: against moto over HTTP and a token endpoint."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nix_autocache.caches import aws_credentials, aws_keys
from nix_autocache.caches.aws_credentials import AwsCredentials, Role
from nix_autocache.caches.object_store import ObjectStoreCache
from nix_autocache.caches.opening import open_cache
from nix_autocache.caches.protocol import Access
from nix_autocache.ci.id_token import IdTokenSource
from nix_autocache.errors import CacheBusy, CredentialsError, InputError
from nix_autocache.nix import keys
from nix_autocache.nix.key_source import KeySource
from nix_autocache.nix.store import Nix
from nix_autocache.nix.store_url import parse_cache_url
from tests.harness.aws import BEARER, GIVEN, REGION, ROLE, START, Account, in_thread

KEY = keys.generate("cache-1")


@pytest.fixture(scope="module")
def running() -> Iterator[Account]:
    with in_thread() as account:
        account.keep(str(KEY))
        yield account


@pytest.fixture
def account(running: Account, monkeypatch: pytest.MonkeyPatch) -> Account:
    running.control(**START)
    for name, value in running.env().items():
        monkeypatch.setenv(name, value)
    return running


def login(account: Account, identity: IdTokenSource | None = None, arn: str = ROLE) -> AwsCredentials:
    url = f"{account.url}/token?audience=sts.amazonaws.com"
    return aws_credentials.from_role(
        Role(arn=arn, audience="sts.amazonaws.com", identity=identity or IdTokenSource(url=url, bearer=BEARER)),
        REGION,
        {},
    )


def bucket(account: Account) -> ObjectStoreCache:
    cache = open_cache(parse_cache_url(account.cache), Access({}, Nix(Path("/")), None, login(account)))
    assert isinstance(cache, ObjectStoreCache)
    return cache


@pytest.mark.parametrize("source", ["aws-ssm:/ci/key", "aws-secretsmanager:/ci/key"])
@pytest.mark.slow
def test_a_key_is_read_with_the_session_of_the_role(account: Account, source: str) -> None:
    assert aws_keys.secret_key(KeySource.parse(source), login(account), REGION) == KEY
    assert account.control()["sessions"] == 1


def test_a_name_that_is_an_arn_says_the_region(account: Account) -> None:
    arn = account.client("ssm").get_parameter(Name="/ci/key")["Parameter"]["ARN"]
    assert aws_keys.secret_key(KeySource.parse(f"aws-ssm:{arn}"), login(account), "us-east-1") == KEY


@pytest.mark.parametrize(
    ("source", "region", "says"),
    [
        ("aws-ssm:/ci/key", "us-east-1", "aws-ssm:/ci/key in us-east-1: there is none; is it in another region"),
        ("aws-secretsmanager:/ci/no", REGION, f"aws-secretsmanager:/ci/no in {REGION}: there is none"),
        ("aws-ssm:/ci/note", REGION, "aws-ssm:/ci/note: the key has no name"),
    ],
)
def test_a_key_that_is_not_there_or_is_none_is_a_wrong_input(
    account: Account, source: str, region: str, says: str
) -> None:
    account.client("ssm").put_parameter(Name="/ci/note", Value="buy milk", Type="String", Overwrite=True)
    with pytest.raises(InputError) as caught:
        aws_keys.secret_key(KeySource.parse(source), login(account), region)
    assert says in str(caught.value)
    assert "milk" not in str(caught.value)


def test_a_role_that_may_not_be_assumed_is_named_with_what_aws_said(account: Account) -> None:
    account.control(refuse="AccessDenied")
    with pytest.raises(
        CredentialsError, match=rf"assume {ROLE} \(audience sts.amazonaws.com\): AccessDenied: Not auth"
    ):
        login(account).frozen()


def test_a_job_that_gets_no_id_token_is_told_of_the_permission(account: Account) -> None:
    with pytest.raises(CredentialsError, match="id-token: write"):
        login(account, IdTokenSource(url=f"{account.url}/token?audience=a", bearer="another")).frozen()


def test_a_host_or_an_sts_that_does_not_answer_may_do_so_later(account: Account) -> None:
    account.control(busy=1)
    role = login(account)
    with pytest.raises(CacheBusy, match="503"):
        role.frozen()
    role.frozen()
    with pytest.raises(CacheBusy, match="id token: "):
        login(account, IdTokenSource(url="http://127.0.0.1:1/", bearer="x")).frozen()
    account.control(refuse="IDPCommunicationError")
    with pytest.raises(CacheBusy, match="IDPCommunicationError"):
        login(account).frozen()


@pytest.mark.parametrize(("longest", "asked"), [(43200, [43200]), (14400, [43200, 28800, 14400])])
def test_a_token_that_cannot_be_had_anew_is_for_the_longest_session(
    account: Account, longest: int, asked: list[int]
) -> None:
    account.control(longest=longest)
    login(account, IdTokenSource(token=GIVEN)).frozen()
    assert account.control()["asked"] == asked


def test_a_session_is_renewed_before_it_ends_with_another_token(account: Account) -> None:
    account.control(lifetime=300)  # botocore renews what ends within ten minutes
    role = login(account)
    assert role.frozen().access_key != role.frozen().access_key
    state = account.control()
    assert state["sessions"] == state["tokens"] > 1


def test_a_session_that_lasts_is_kept(account: Account) -> None:
    objects = bucket(account)
    for number in range(3):
        objects.put(f"{number}", b"x", "text/plain")
    assert account.control()["sessions"] == 1


def test_what_expired_is_renewed_once_and_the_request_made_again(account: Account) -> None:
    objects = bucket(account)
    objects.put("before", b"x", "text/plain")
    account.control(expired="all")

    def again(number: int) -> None:
        try:
            objects.put(f"after-{number}", b"x", "text/plain")
        except CacheBusy:
            objects.put(f"after-{number}", b"x", "text/plain")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(again, range(8)))
    assert account.control()["sessions"] == 2


def test_whoever_was_refused_with_the_same_credentials_shares_the_new_ones(account: Account) -> None:
    role = login(account)
    role.frozen()
    assert role.refresh(0)
    assert role.refresh(0)
    assert account.control()["sessions"] == 2


def test_what_is_refused_with_new_credentials_too_is_refused_for_good(account: Account) -> None:
    account.control(expired="always")
    objects = bucket(account)
    with pytest.raises(CacheBusy, match="tried again with new ones"):
        objects.get("nix-cache-info")
    with pytest.raises(CredentialsError, match="are the credentials right"):
        objects.get("nix-cache-info")
    assert account.control()["sessions"] == 2
