"""The threads of the read proxy: no job is lost, none waits while a thread could be started, and idle threads end."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from nix_autocache.uploader.read_proxy import workers
from nix_autocache.uploader.read_proxy.workers import Workers
from tests.harness.waiting import wait_for


def test_every_job_is_done_whoever_starts_it_and_whatever_others_raise() -> None:
    pool, done = Workers(3, "tested"), []

    def job(number: int) -> None:
        done.append(number)
        if number % 3 == 0:
            raise ValueError("not ours")

    with ThreadPoolExecutor(8) as starting:
        assert all(starting.map(lambda number: pool.start(lambda: job(number)), range(3000)))
    wait_for(lambda: len(done) == 3000, "all jobs")
    assert sorted(done) == list(range(3000))
    assert _threads("tested") <= 3


def test_a_job_that_waits_keeps_no_other_from_being_done() -> None:
    pool, end, done = Workers(100, "tested"), threading.Event(), threading.Event()

    def job() -> None:
        end.wait()

    for _ in range(99):
        assert pool.start(job)
    assert pool.start(done.set)
    assert done.wait(10)
    end.set()


def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_IDLE", 0.01)
    pool, done = Workers(10, "idle"), []
    for turn in range(50):
        pool.start(lambda turn=turn: done.append(turn))  # type: ignore[misc]
        wait_for(lambda: len(done) == turn + 1, "the job")  # noqa: B023
        wait_for(lambda: _threads("idle") == 0, "the end of its thread")


def test_that_no_thread_can_be_started_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert not Workers(10, "tested").start(lambda: None)


def _threads(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())
