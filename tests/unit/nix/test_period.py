"""`{week}` and `{month}` in a store URL stand for a period, by the date in UTC."""

from datetime import UTC, datetime, timedelta

import pytest

from nix_autocache.nix.store_url import parse_cache_url
from tests.harness.urls import refusal


def periods(placeholder: str, day: str) -> tuple[str, str]:
    url, when = parse_cache_url(f"s3://b/ci/{placeholder}?region=r"), datetime.fromisoformat(f"{day}+00:00").timestamp()
    before = url.before(when)
    assert before is not None
    return url.at(when).path.removeprefix("/ci/"), before.path.removeprefix("/ci/")


@pytest.mark.parametrize(
    ("placeholder", "day", "now", "before"),
    [
        ("{week}", "2026-11-29T23:59:59", "2026-W48", "2026-W47"),
        ("{week}", "2026-11-30T00:00:00", "2026-W49", "2026-W48"),
        ("{week}", "2027-01-01T12:00:00", "2026-W53", "2026-W52"),
        ("{week}", "2027-01-04T00:00:00", "2027-W01", "2026-W53"),
        ("{month}", "2026-11-30T23:59:59", "2026-11", "2026-10"),
        ("{month}", "2027-01-01T00:00:00", "2027-01", "2026-12"),
        ("{month}", "2026-03-31T12:00:00", "2026-03", "2026-02"),
    ],
)
def test_a_period_is_that_of_the_day(placeholder: str, day: str, now: str, before: str) -> None:
    assert periods(placeholder, day) == (now, before)


@pytest.mark.parametrize("placeholder", ["{week}", "{month}"])
def test_each_period_was_the_one_before_of_the_next(placeholder: str) -> None:
    """A path that is read in a period is in that or in the one before, whatever the day."""
    days = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(4 * 366)]
    found = [periods(placeholder, day.strftime("%Y-%m-%d")) for day in days]
    order = list(dict.fromkeys(now for now, _ in found))
    assert all(before == order[order.index(now) - 1] for now, before in found if now != order[0])
    assert len(order) == len({now for now, _ in found})


def test_a_url_shows_its_placeholder_and_keeps_all_else() -> None:
    for text in ("s3://b/{week}?region=r", "gs://b/x/{month}", "az://b/{week}", "file:///srv/{week}/x"):
        url = parse_cache_url(text)
        assert str(url) == str(parse_cache_url(str(url))) == text
        assert url.rotates
        assert url.wants_reader
        assert str(url.at(0)) == text.replace("{week}", "1970-W01").replace("{month}", "1970-01")
    assert str(parse_cache_url("s3://b/%7Bweek%7D")) == "s3://b/{week}"


def test_a_url_without_a_placeholder_never_changes() -> None:
    url = parse_cache_url("s3://b/2026-W48")
    assert (url.at(0), url.before(0), url.rotates) == (url, None, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://b/{day}", "{week} and {month} are known"),
        ("s3://b/{week}/{month}", "one period is enough"),
        ("https://host/{week}", "s3://, gs://, az:// and file:// only"),
        ("ssh-ng://host/{month}", "s3://, gs://, az:// and file:// only"),
    ],
)
def test_what_cannot_rotate_is_refused(text: str, said: str) -> None:
    assert said in refusal(text)
