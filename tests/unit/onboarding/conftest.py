"""An AWS account, and a repository on GitHub, for the tests of what `init` makes there."""

from collections.abc import Iterator

import pytest

from nix_autocache.onboarding.github.repository import connect
from nix_autocache.onboarding.repository import Repository
from tests.harness import github_api
from tests.harness.aws import Account, in_thread
from tests.harness.aws_person import Person, person_of
from tests.harness.github_api import GitHub


@pytest.fixture(scope="session")
def aws_server() -> Iterator[Account]:
    with in_thread() as account:
        yield account


@pytest.fixture
def person(aws_server: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    with person_of(aws_server, monkeypatch) as one:
        yield one


@pytest.fixture
def server() -> Iterator[GitHub]:
    with github_api.in_thread({"flake.nix": "{ }"}) as made:
        yield made


@pytest.fixture
def repository(server: GitHub) -> Repository:
    return connect(server.url, server.name, {"GH_ENTERPRISE_TOKEN": server.token})
