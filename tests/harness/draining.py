"""A drain in this process, between a store whose daemon answers anything and a cache that is a directory."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nix_autocache.caches.directory import open_directory
from nix_autocache.caches.protocol import Access, ObjectCache
from nix_autocache.nix import keys
from nix_autocache.nix.store_client import StoreClient
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.queue.directory import Queue
from nix_autocache.uploader.compress import Codec
from nix_autocache.uploader.drain import Drain
from nix_autocache.uploader.ledger import Ledger
from nix_autocache.uploader.nix_reading import NixReading
from nix_autocache.uploader.plan import Policy
from nix_autocache.uploader.push import BinaryCache
from nix_autocache.uploader.pusher import Pusher
from nix_autocache.uploader.tasks import Tasks
from nix_autocache.uploader.vouching import Vouching
from tests.harness.nix_daemon import FakeNix


@dataclass(frozen=True)
class Draining:
    fake: FakeNix
    queue: Queue
    drain: Drain
    cache: Path
    thread: threading.Thread

    def queued(self, *paths: str, name: str = "") -> None:
        """Queue paths as a hook does that built them."""
        for path in paths:
            self.queue.add(name or f"{path.rpartition('/')[2]}.drv", [path])

    def flush(self, seconds: float = 30.0) -> bool:
        return self.drain.flush(time.monotonic() + seconds, lambda _: None)

    def pushed(self) -> set[str]:
        """Names of the paths in the cache."""
        infos = [file.read_text() for file in self.cache.glob("*.narinfo")]
        return {text.splitlines()[0].rpartition("/")[2][33:] for text in infos}

    def failed(self) -> dict[str, str]:
        """Reasons, by the paths' names."""
        found = self.queue.outcomes.recorded()
        return {each.path.rpartition("/")[2][33:]: each.reason for each in found if each.what == "failed"}


@contextmanager
def draining(
    directory: Path,
    *,
    wrapped: Callable[[Pusher], Pusher] = lambda pusher: pusher,
    upstreams: tuple[keys.PublicKey, ...] = (),
    maintenance_interval: float = 0.0,
    into: ObjectCache | None = None,
    reading: NixReading | None = None,
) -> Iterator[Draining]:
    """With `into`, the cache is that one; `reading` is what Nix read through a proxy.

    A second drain in one directory goes on with the queue of the first.
    """
    fake = FakeNix(directory / "nix")
    queue, cache = Queue(directory / "queue", directory / "roots"), directory / "cache"
    if not fake.directory.exists():
        fake.create()
        queue.create()
        (directory / "roots").mkdir()
    pusher = BinaryCache(
        cache=into or open_directory(parse_cache_url(f"file://{cache}"), Access({}, fake.nix, None)),
        key=keys.generate("test-1"),
        codec=Codec(name="none", level=0),
        cache_info="",
    )
    policy = Policy(upstreams=upstreams, exclude=None, vouching=Vouching(began=0, trusted=()))
    with StoreClient(fake.nix) as store:
        used = wrapped(pusher)
        ledger = Ledger(used.sealed if used.seals else None)
        tasks = Tasks(used, ledger, fake.nix.store_dir)
        drain = Drain(
            queue, store, policy, tasks, ledger,
            reading=reading or NixReading(), maintenance_interval=maintenance_interval,
        )  # fmt: skip
        thread = threading.Thread(target=drain.run, daemon=True)
        thread.start()
        try:
            yield Draining(fake, queue, drain, cache, thread)
        finally:
            drain.end()
            thread.join(10)
