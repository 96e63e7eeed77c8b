"""The narinfos that Nix asks for and those that it will ask for: each is fetched once, however many ask.

What Nix asks for is fetched at once, by the thread of its connection. The rest waits in a queue, first come first
served, which makes the walk over a closure breadth first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final

from .objects import CacheObjects

_PATIENCE: Final = 15.0  # seconds to wait for another thread's answer before asking the cache as well
_HELD: Final = 30.0  # seconds for which an answer waits for Nix
KNOWN: Final = 60.0  # seconds in which nothing is fetched ahead that was asked for already
_MOST_BYTES: Final = 8 << 20  # of narinfos that Nix has not asked for yet
_MOST_QUEUED: Final = 10_000


class Answer:
    """A narinfo that is being fetched. `concurrent.futures` does this as well, with half a megabyte of imports."""

    def __init__(self) -> None:
        self._given = threading.Event()
        self._text: bytes | None = None
        self._error: BaseException | None = None

    def result(self, timeout: float | None = None) -> bytes | None:
        """Waits. Raises what the fetch raised, and TimeoutError."""
        if not self._given.wait(timeout):
            raise TimeoutError
        if self._error:
            raise self._error
        return self._text

    def give(self, text: bytes | None) -> None:
        self._text = text
        self._given.set()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._given.set()


class Narinfos:
    """Used from many threads at once. `found` is called with the narinfos that were fetched, all of them in time."""

    def __init__(self, objects: CacheObjects, found: Callable[[Sequence[bytes]], None]) -> None:
        self._objects = objects
        self._found = found
        self._lock = threading.Lock()
        self._asked: dict[str, float] = {}  # when, for each that was asked for lately
        self._queue: dict[str, None] = {}
        self._answers: dict[str, Answer] = {}  # of what is being fetched, or is held
        self._held: dict[str, float] = {}  # since when, for what was fetched ahead and Nix has not taken
        self._bytes = 0

    def get(self, name: str) -> bytes | None:
        """A narinfo for Nix; None if it is missing or cannot be read now."""
        with self._lock:
            self._asked[name] = time.monotonic()
            self._queue.pop(name, None)
            others = self._answers.get(name)
            mine = Answer()
            if others is None:
                self._answers[name] = mine
        if others is None:
            text = self._fetch(name, mine, partial(self._objects.get, name))
            self._found([text] if text else [])
            return text
        try:
            return others.result(_PATIENCE)
        except Exception:  # also a failure to fetch ahead, which says little
            return self._objects.get(name)
        finally:
            with self._lock:
                if name in self._held:
                    self._drop(name)

    def take(self, name: str) -> bytes | None:
        """A narinfo for Nix that was fetched ahead; None if there is none."""
        with self._lock:
            if name not in self._held or not (text := self._answers[name].result()):
                return None
            self._asked[name] = time.monotonic()
            self._drop(name)
        return text

    def want(self, names: Iterable[str]) -> int:
        """Queue those that were not asked for lately; returns how many."""
        now = time.monotonic()
        with self._lock:
            wanted = [name for name in names if now - self._asked.get(name, float("-inf")) > KNOWN]
            wanted = [name for name in wanted if name not in self._answers][: _MOST_QUEUED - len(self._queue)]
            self._asked.update(dict.fromkeys(wanted, now))
            self._queue.update(dict.fromkeys(wanted))
        return len(wanted)

    def next_job(self) -> Callable[[], None] | None:
        """Fetches the first in the queue; None if there is nothing to do now."""
        with self._lock:
            if not self._queue or self._bytes > _MOST_BYTES or not self._objects.may_fetch_ahead:
                return None
            names = list(islice(self._queue, self._objects.share(len(self._queue))))
            answers = self._begin(names)
        return partial(self._fetch_together, answers, ahead=True)

    def get_soon(self, names: Sequence[str]) -> None:
        """Fetch narinfos together for which Nix has asked; `get` then has each."""
        with self._lock:
            self._asked.update(dict.fromkeys(names, time.monotonic()))
            answers = self._begin([name for name in names if name not in self._answers])
        self._fetch_together(answers, ahead=False)

    def tidy(self) -> None:
        """Drop what Nix has not taken."""
        with self._lock:
            now = time.monotonic()
            for name in [name for name, since in self._held.items() if now - since > _HELD]:
                self._drop(name)
            for name in [name for name, since in self._asked.items() if now - since > KNOWN]:
                del self._asked[name]
                self._queue.pop(name, None)

    @property
    def waiting(self) -> bool:
        """True if some are queued."""
        return bool(self._queue)

    @property
    def is_empty(self) -> bool:
        return not self._answers

    def _begin(self, names: Iterable[str]) -> Mapping[str, Answer]:
        """The caller holds the lock."""
        answers = {name: Answer() for name in names}
        for name in answers:
            self._queue.pop(name, None)
        self._answers |= answers
        return answers

    def _fetch_together(self, answers: Mapping[str, Answer], *, ahead: bool) -> None:
        found: Mapping[str, bytes | None] = {}
        with suppress(Exception):
            found = self._objects.get_many(list(answers), ahead=ahead)
        alone = self._objects.get_ahead if ahead else self._objects.get
        texts: list[bytes | None] = []
        for name, answer in answers.items():
            ask = partial(found.get, name) if name in found else partial(alone, name)
            with suppress(Exception):  # Nix asks for it, and gets the error
                texts.append(self._fetch(name, answer, ask, hold=True))
        self._found(list(filter(None, texts)))

    def _fetch(self, name: str, answer: Answer, ask: Callable[[], bytes | None], *, hold: bool = False) -> bytes | None:
        """Ask, and answer all who wait; with `hold` also those who come later."""
        try:
            text = ask()
        except BaseException as error:
            with self._lock:
                del self._answers[name]
            answer.fail(error)
            raise
        with self._lock:
            answer.give(text)
            if hold:
                self._held[name] = time.monotonic()
                self._bytes += len(text or b"")
            else:
                del self._answers[name]
        return text

    def _drop(self, name: str) -> None:
        """The caller holds the lock."""
        del self._held[name]
        self._bytes -= len(self._answers.pop(name).result() or b"")
