"""Whether the cache takes our credentials at all, when it refuses paths: one may be refused for its own sake."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ..errors import CredentialsError, one_line

_IN_A_ROW: Final = 3  # paths refused, after which the cache itself is asked; after each time it takes twice as many


class Refusals:
    """For any thread. `check` asks the cache itself, and raises CredentialsError if it is the credentials.

    `reason` is then why nothing can be pushed with them; empty until then.
    """

    def __init__(self, check: Callable[[], object]) -> None:
        self.reason = ""
        self._check = check
        self._asking = threading.Lock()
        self._count, self._allowed = 0, _IN_A_ROW

    def end_row(self) -> None:
        """A path was taken."""
        self._count = 0

    def count(self) -> str:
        """Count a path that the cache refused, and return `reason`.

        Meanwhile other refused paths wait here: if it is the credentials, they share the reason.
        """
        with self._asking:
            self._count += 1
            if not self.reason and self._count >= self._allowed:
                self._count, self._allowed = 0, 2 * self._allowed
                self._ask()
            return self.reason

    def _ask(self) -> None:
        with suppress(Exception):  # another error says nothing of the credentials
            try:
                self._check()
            except CredentialsError as error:
                self.reason = one_line(error)
