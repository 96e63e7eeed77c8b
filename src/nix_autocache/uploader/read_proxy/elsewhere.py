"""The requests that the read proxy's one thread cannot answer at once, in threads that may wait.

Each change of threads costs more than the rest of an answer. So a thread goes on with what its client asks next. What
many clients ask at about the same time, as Nix does for narinfos, is asked of the cache and answered together.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from .answers import Answers
from .client import Client, Request
from .connections import Connections
from .workers import Workers

_MOST: Final = 8192  # threads; as many as connections, since each may wait for a slow client
_MANY: Final = 16  # questions under way, from which it saves time to wait for more that can be asked together
_GATHERING: Final = 0.002  # seconds to wait for those


class Elsewhere:
    """`close` closes a client. `woken` can be read when clients have come back.

    All but `wake_up` is for the server's thread.
    """

    def __init__(self, answers: Answers, connections: Connections, close: Callable[[Client], None]) -> None:
        self._answers = answers
        self._connections = connections
        self._close = close
        self._workers = Workers(_MOST, "answer")
        self._lock = threading.Lock()
        self._returned: deque[Client] = deque()
        self._questions: list[tuple[Client, Request]] = []  # for narinfos
        self._since = 0.0  # the first of those came, on the clock of `time.monotonic`
        self._under_way = 0  # questions that threads have
        self._wake, self.woken = socket.socketpair()
        for each in (self._wake, self.woken):
            each.setblocking(False)

    def start(self, client: Client, job: Callable[[], bool]) -> None:
        """Have another thread do it for this client, whose connection stays open if it returns True."""
        client.busy = True
        if not self._workers.start(partial(self._do, client, job)):
            self._close(client)  # somebody has used up the threads of this machine

    def answer(self, client: Client, request: Request) -> None:
        """Have another thread answer; for a narinfo when `answer_questions` is called."""
        if self._answers.together > 1 and self._answers.is_for_narinfo(request):
            client.busy = True
            self._since = self._since if self._questions else time.monotonic()
            self._questions.append((client, request))
        else:
            self.start(client, partial(self._answers.later, client.connection, request))

    @property
    def pause(self) -> float | None:
        """Seconds until `answer_questions` is to be called, whatever comes; None if there are no questions."""
        return max(0.0, self._since + _GATHERING - time.monotonic()) if self._questions else None

    def answer_questions(self) -> None:
        """Call it when all requests were read that have come."""
        together = self._answers.together
        if self._under_way > _MANY and len(self._questions) < together and self.pause:
            return
        questions, self._questions = self._questions, []
        for start in range(0, len(questions), together):
            group = questions[start : start + together]
            if self._workers.start(partial(self._do_together, group)):
                with self._lock:
                    self._under_way += len(group)
            else:
                for client, _ in group:
                    self._close(client)

    def mutes(self, client: Client) -> bool:
        """True if another thread has this client, which is then not to be listened to until it comes back."""
        if client.busy:
            with self._lock:
                client.muted = client.busy
        return client.muted

    def returned(self) -> Iterator[Client]:
        """The clients that other threads are done with and that the server must look at."""
        with suppress(OSError):
            self.woken.recv(4096)
        while self._returned:
            yield self._returned.popleft()

    def wake_up(self) -> None:
        """Make `woken` readable. May be called from any thread."""
        with suppress(OSError):  # it is readable if there is no room
            self._wake.send(b"x")

    def _do(self, client: Client, job: Callable[[], bool]) -> None:
        keep = False
        try:
            keep = job()
            while keep and (request := client.following()):
                self._connections.mark(client.connection, answered=False)
                keep = self._answers.later(client.connection, request)
        finally:
            self._end(client, keep=keep)

    def _do_together(self, questions: Sequence[tuple[Client, Request]]) -> None:
        if len(questions) > 1:
            self._answers.soon(request for _, request in questions)
        for client, request in questions:
            keep = False
            with suppress(Exception):  # the others are to be answered, too
                keep = self._answers.later(client.connection, request)
            self._end(client, keep=keep)
        with self._lock:
            self._under_way -= len(questions)

    def _end(self, client: Client, *, keep: bool) -> None:
        """The client has its answer: from now on it is listened to."""
        self._connections.mark(client.connection, answered=True)
        with self._lock:
            client.busy = False
            client.ended = not keep
            is_for_server = client.muted or client.ended or client.has_more
            if is_for_server:
                self._returned.append(client)
        if is_for_server:
            self.wake_up()
