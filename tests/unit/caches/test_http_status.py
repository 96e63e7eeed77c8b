"""A cache's refusal: ask again, ask later, or never."""

import errno
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from nix_autocache.caches.http_status import refusal
from nix_autocache.errors import CacheBusy, CacheError, CredentialsError
from nix_autocache.queue.directory import Queue
from nix_autocache.queue.outcomes import Outcome
from nix_autocache.system.net import seconds_to_wait
from nix_autocache.uploader.retry import LONGEST, Gate, retrying


@pytest.mark.parametrize("status", [0, 408, 409, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again(status: int) -> None:
    assert isinstance(refusal("s3://b", "x", status, "no", 3.0), CacheBusy)


@pytest.mark.parametrize("status", [301, 400, 404, 405, 411, 413, 414, 501, 507])
def test_what_stays_refused_is_not_asked_again(status: int) -> None:
    assert isinstance(refusal("s3://b", "x", status, "no", 0.0), CacheError)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_named_as_such(status: int) -> None:
    assert isinstance(refusal("s3://b", "x", status, "no", 0.0), CredentialsError)


def test_retry_after_is_a_number_or_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=90)
    assert seconds_to_wait("120") == 120
    assert 80 < seconds_to_wait(format_datetime(later, usegmt=True)) <= 90
    assert seconds_to_wait(format_datetime(later - timedelta(days=1), usegmt=True)) == 0
    assert seconds_to_wait("soon") == seconds_to_wait(None) == seconds_to_wait("") == 0


def test_one_threads_retry_after_holds_the_others_back() -> None:
    gate = Gate()
    gate.close(0.3)
    begun = time.monotonic()
    assert retrying(time.monotonic, threading.Event(), gate=gate) >= begun + 0.29


def test_a_retry_after_beyond_all_patience_is_not_waited_for() -> None:
    gate = Gate()
    gate.close(3600)
    with pytest.raises(CacheBusy):
        retrying(time.monotonic, threading.Event(), gate=gate, longest=60)


def test_no_retry_after_closes_a_cache_for_longer_than_a_path_is_tried_for() -> None:
    """A drain that runs for months would never push again."""
    gate = Gate()
    gate.close(seconds_to_wait("9" * 400))
    assert gate.closed_for() <= LONGEST


@pytest.mark.parametrize("lack", [RuntimeError("can't start new thread"), MemoryError(), OSError(errno.EMFILE, "many")])
def test_what_this_machine_lacks_for_a_moment_is_tried_again(lack: Exception) -> None:
    lacks = [lack]

    def attempt() -> str:
        if lacks:
            raise lacks.pop()
        return "done"

    assert retrying(attempt, threading.Event()) == "done"


def test_half_a_line_of_outcomes_does_not_spoil_the_next(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.outcomes.path.write_text('{"path": "/torn", "outc')
    assert queue.outcomes.record([Outcome("/whole", "pushed", 1)])
    assert [outcome.path for outcome in queue.outcomes.recorded()] == ["/whole"]


def test_what_cannot_be_recorded_is_told(tmp_path: Path) -> None:
    assert not Queue(tmp_path / "absent").outcomes.record([Outcome("/a", "pushed", 1)])
