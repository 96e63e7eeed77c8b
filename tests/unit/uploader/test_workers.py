"""Threads of the uploader, and the memory that they share."""

import threading

import pytest

from nix_autocache.uploader.workers import Budget, Workers


def test_a_budget_lets_the_largest_through_alone() -> None:
    budget, entered = Budget(10), threading.Event()

    def largest() -> None:
        with budget.hold(1000):
            entered.set()

    with budget.hold(4), budget.hold(6):
        threading.Thread(target=largest, daemon=True).start()
        assert not entered.is_set()
    assert entered.wait(10), "nobody else holds any of it"
    with budget.hold(10):
        pass


def refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_tasks_wait_for_threads_and_end_none(monkeypatch: pytest.MonkeyPatch) -> None:
    workers, done = Workers(2), threading.Event()

    def break_all() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(5):
            workers.submit(break_all, 0)
        workers.submit(done.set, 1)
    assert not done.is_set()
    workers.tend()
    assert done.wait(10)
