"""An AWS account for the tests of what `init` makes in one."""

from collections.abc import Iterator

import pytest

from tests.harness.aws import Account, in_thread
from tests.harness.aws_person import Person, person_of


@pytest.fixture(scope="session")
def aws_server() -> Iterator[Account]:
    with in_thread() as account:
        yield account


@pytest.fixture
def person(aws_server: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    with person_of(aws_server, monkeypatch) as one:
        yield one
