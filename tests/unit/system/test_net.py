"""Retry-After, in seconds."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from nix_autocache.system.net import seconds_to_wait


def test_retry_after_is_a_number_or_a_date() -> None:
    later = (datetime.now(UTC) + timedelta(seconds=90)).replace(microsecond=0)  # a date has whole seconds
    longest = later - datetime.now(UTC)
    seconds = seconds_to_wait(format_datetime(later, usegmt=True))
    assert later - datetime.now(UTC) <= timedelta(seconds=seconds) <= longest
    assert seconds_to_wait("120") == 120
    assert seconds_to_wait(format_datetime(later - timedelta(days=1), usegmt=True)) == 0
    assert seconds_to_wait("soon") == seconds_to_wait(None) == seconds_to_wait("") == 0


@pytest.mark.parametrize(
    "said", ["9" * 400, "\xb2", "-1", "nan", "inf", "Mon, 99 Foo 99999 99:99:99 GMT", "0x10", "1e9"]
)
def test_any_retry_after_is_a_time(said: str) -> None:
    assert seconds_to_wait(said) >= 0.0
