"""Seals the cache for those who wait for a flush, once the queue is dry; see `ObjectCache.seal` and `unsealed`.

Nothing else is in work meanwhile, and nothing new is taken: where a seal fails, what was published is lost, and a path
that refers to it must not become visible.
"""

from __future__ import annotations

import threading

from ..errors import CredentialsError, Error, ReadOnly, as_error, one_line
from ..system import log
from .ledger import Ledger
from .tasks import Tasks


class Sealing:
    """`running` from `begin` until everything is visible, or the `Ledger` knows that it is not."""

    def __init__(self, tasks: Tasks, ledger: Ledger) -> None:
        self._tasks, self._ledger = tasks, ledger
        self.running = False
        self.renewed = threading.Event()
        self.renewed.set()

    def begin(self) -> None:
        """For the drain's thread. It may take as long as the cache is busy, so that a worker does it."""
        self.running = True
        self._tasks.at_once(self._seal)

    def renew(self) -> None:
        """As `begin`, for a cache of which nothing is unsealed: the next jobs may gain from a seal all the same.

        Then, or if they do not, it is `renewed`.
        """
        self.running = True
        self._tasks.at_once(self._renew)

    def _renew(self) -> None:
        try:
            if self._tasks.is_stale():
                self._tasks.seal()
        except BaseException as error:  # nothing that was pushed depends on it
            log.line(f"nothing was left for the next run: {one_line(as_error(error))}")
        finally:
            self.renewed.set()
            self.running = False
            self._ledger.changed.set()

    def _seal(self) -> None:
        try:
            self._tasks.seal()
            self._ledger.sealed()
        except BaseException as error:
            self._fail(error)
        finally:
            self.running = False
            self._ledger.changed.set()

    def _fail(self, error: BaseException) -> None:
        if self._tasks.stop.is_set():
            return  # it was given up: the entries stay in the queue
        if not isinstance(error, Error):
            log.exception()
        reason = one_line(as_error(error))
        if isinstance(error, CredentialsError):  # the entries stay in the queue for newer ones
            self._tasks.refusals.reason = reason
            self._tasks.stop.set()
            return
        self._tasks.look_again()  # the archives are lost, too
        if isinstance(error, ReadOnly):
            self._ledger.not_sealed("refused", reason)
        else:
            self._ledger.not_sealed("failed", f"the cache took it and did not make it visible: {reason}")
