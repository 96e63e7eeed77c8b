"""A cache that cannot be used becomes usable, and nobody flushes: `months.py PATH…`.

Then the cache loses what was pushed, and it is built once more: a drain that remembers it does not push it again.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from nix_autocache.machine.packages import locked

sys.path.append(str(locked.wanted(None, os.environ).directory))
from nix_autocache.nix import keys
from nix_autocache.nix.key_source import KeySource
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.settings import read
from nix_autocache.uploader.access import CacheAccess
from nix_autocache.uploader.spec import UploadSpec


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


place = Path("/root/cache")
place.write_text("not a directory")
job = UploadSpec.of(
    read({}, {}, {}),
    queue=Path("/root/queue"),
    access=CacheAccess(url=parse_cache_url(f"file://{place}"), nix_bin=Path("/usr/bin"), environ={}),
    began=0,
    key=KeySource.of_key(keys.generate("months-1")),
    dry_run=False,
    maintenance_interval=0.2,
)
queue = job.open_queue()
queue.create()
for path in sys.argv[1:]:
    queue.add(path.rpartition("/")[2], [path])
while True:
    try:
        drain = job.drain(job.pusher())
        break
    except Exception as error:  # opening a directory makes it
        print("cannot be opened:", error)
        place.unlink()
        place.mkdir()
        (place / "nix-cache-info").write_text("StoreDir: /elsewhere")
threading.Thread(target=drain.run, daemon=True).start()
wait_for(lambda: queue.failures() == len(sys.argv) - 1)
(place / "nix-cache-info").unlink()
wait_for(lambda: not queue.failures() and not list(queue.names()))
print("pushed", len(list(place.glob("*.narinfo"))))
for narinfo in place.glob("*.narinfo"):
    narinfo.unlink()


def pushed_again() -> bool:
    for path in sys.argv[1:]:
        queue.add(path.rpartition("/")[2], [path])
    return len(list(place.glob("*.narinfo"))) == len(sys.argv) - 1


wait_for(pushed_again)
print("pushed again")
