"""Retries: which errors, for how long, and what Retry-After changes."""

import errno
import threading

import pytest

from nix_autocache.caches.http_status import status_error
from nix_autocache.caches.retry import LONGEST, Gate, retrying
from nix_autocache.errors import CacheBusy, CacheError
from nix_autocache.system.net import seconds_to_wait


def test_one_threads_retry_after_holds_the_others_back() -> None:
    gate = Gate()
    gate.close(0.3)
    assert retrying(gate.closed_for, threading.Event(), gate=gate) == 0


def test_a_retry_after_beyond_all_patience_is_not_waited_for() -> None:
    gate = Gate()
    gate.close(3600)
    with pytest.raises(CacheBusy):
        retrying(gate.closed_for, threading.Event(), gate=gate, longest=60)


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


def test_a_busy_cache_is_asked_again_until_it_answers() -> None:
    answers = iter([CacheBusy("503"), CacheBusy("429", retry_after=0.01), None])

    def attempt() -> str:
        if error := next(answers):
            raise error
        return "done"

    assert retrying(attempt, threading.Event()) == "done"


def test_a_conflict_that_stays_is_an_error_and_not_waited_for_until_the_deadline() -> None:
    """As a WebDAV server answers where the folder is missing."""

    class Stays(CacheBusy):
        longest = 0.05
        advice = "; is it a folder that is missing?"

    def attempt() -> None:
        raise Stays("nar/x: HTTP status 409 Conflict", retry_after=0.01)

    with pytest.raises(CacheError, match=r"409 Conflict; is it a folder that is missing\?"):
        retrying(attempt, threading.Event())
    assert status_error("http://h", "nar/x", 409, "", 0.0).longest < CacheBusy.longest  # type: ignore[attr-defined]


def test_what_is_refused_for_good_is_not_asked_again() -> None:
    calls = []

    def attempt() -> None:
        calls.append(1)
        raise CacheError("403")

    with pytest.raises(CacheError):
        retrying(attempt, threading.Event())
    assert len(calls) == 1


def test_a_retry_ends_at_once_when_told_to_stop() -> None:
    stop = threading.Event()
    stop.set()

    def attempt() -> None:
        raise CacheBusy("503", retry_after=60)

    with pytest.raises(CacheBusy):
        retrying(attempt, stop)
