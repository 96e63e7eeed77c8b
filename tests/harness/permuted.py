"""Clients of one store in memory, one request at a time, in an order that a seed decides; time passes between them.

Each client is a thread that waits before each of its requests. Only one runs at any time, so that a seed is one order.
"""

import heapq
import queue
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.harness.memory_store import MemoryStore, StoppedError

IN_FLIGHT = 600.0  # seconds in which a request takes effect


@dataclass(eq=False)
class Client:
    """`since` is when its request began, `until` the time that it sleeps for; 0 for a request."""

    run: Callable[[], None]
    since: float = 0.0
    until: float = 0.0
    ended: bool = False
    stopped: bool = False
    error: BaseException | None = None
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Permuted:
    """Runs clients on `store`. `stop` is the chance that a client dies before a request."""

    def __init__(self, store: MemoryStore, generator: random.Random, stop: float = 0.0) -> None:
        self._store, self._random, self._stop = store, generator, stop
        self._arrived: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._here = threading.local()
        store.before = self._before

    def now(self) -> float:
        return self._store.now

    def sleep(self, seconds: float) -> None:
        """For a client: go on when so much time has passed."""
        self._pause(self._store.now + seconds)

    def run(self, *runs: Callable[[], None]) -> None:
        """Run these clients to their ends. Raises what a client raised, unless it died."""
        clients = [Client(run) for run in runs]
        for client in clients:
            threading.Thread(target=self._live, args=[client], daemon=True).start()
            self._arrived.get()
        while left := [client for client in clients if not client.ended]:
            self._choose(left).go.release()
            self._arrived.get()
        self._store.before = lambda *_: None
        for client in clients:
            if client.error:
                raise client.error

    def _choose(self, clients: list[Client]) -> Client:
        """The next client; time passes, at most until one wakes, and no request takes longer than IN_FLIGHT."""
        asking = [client for client in clients if not client.until]
        limits = [client.since + IN_FLIGHT for client in asking] or [min(client.until for client in clients)]
        if not asking or self._random.random() < 0.3:
            passing = self._random.choice([1.0, 60.0, 400.0]) if asking else float("inf")
            self._store.now = max(self._store.now, min(self._store.now + passing, *limits, float("inf")))
        ready = asking + [client for client in clients if client.until and client.until <= self._store.now]
        overdue = [client for client in asking if client.since + IN_FLIGHT <= self._store.now]
        return self._random.choice(overdue or ready)

    def _live(self, client: Client) -> None:
        self._here.client = client
        try:
            self._pause()
            client.run()
        except StoppedError:
            pass
        except BaseException as error:
            client.error = error
        client.ended = True
        self._arrived.put(None)

    def _before(self, kind: str, name: str) -> None:
        client: Client | None = getattr(self._here, "client", None)
        if client is None:
            return
        if client.stopped or self._random.random() < self._stop:
            client.stopped = True
            raise StoppedError
        self._pause()

    def _pause(self, until: float = 0.0) -> None:
        client: Client = self._here.client
        client.since, client.until = self._store.now, until
        self._arrived.put(None)
        client.go.acquire()


class Inline:
    """Workers without threads: what is submitted runs in `run`. Ranks below 0 go first, the others in any order."""

    def __init__(self, generator: random.Random) -> None:
        self._random = generator
        self._tasks: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers: Iterator[int] = iter(range(1 << 40))

    def submit(self, task: Callable[[], None], rank: int) -> None:
        heapq.heappush(self._tasks, (rank if rank < 0 else self._random.random(), next(self._numbers), task))

    def tend(self) -> None: ...

    def run(self, between: Callable[[], None]) -> None:
        while self._tasks:
            between()
            heapq.heappop(self._tasks)[2]()
