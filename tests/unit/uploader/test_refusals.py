"""When the cache itself is asked whether it takes our credentials, and what its answer means."""

import pytest

from nix_autocache.errors import CacheBusy, CacheError, CredentialsError
from nix_autocache.uploader.refusals import Refusals


class Asked:
    def __init__(self, answer: Exception | None = None) -> None:
        self.answer = answer
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        if self.answer:
            raise self.answer


def test_the_cache_is_asked_after_three_refusals_in_a_row_and_then_more_rarely() -> None:
    asked = Asked()
    refusals = Refusals(asked)
    counts = []
    for row in (2, 9):
        refusals.end_row()
        for _ in range(row):
            assert refusals.count() == ""
            counts.append(asked.count)
    assert counts == [0, 0, 0, 0, *[1] * 6, 2]


def test_credentials_that_the_cache_itself_refuses_are_the_reason_from_then_on() -> None:
    asked = Asked(CredentialsError("403 for everything"))
    refusals = Refusals(asked)
    assert [refusals.count() for _ in range(5)] == ["", "", *["403 for everything"] * 3]
    assert asked.count == 1


@pytest.mark.parametrize("error", [CacheBusy("503"), CacheError("no"), ValueError("a bug")])
def test_another_error_says_nothing_of_the_credentials(error: Exception) -> None:
    refusals = Refusals(Asked(error))
    assert {refusals.count() for _ in range(20)} == {""}
