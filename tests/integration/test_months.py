"""What only a drain that runs for months does: it tries again what failed, and does not grow."""

from tests.conftest import MakeMachine
from tests.harness import graphs, nix, product
from tests.harness.job import Job
from tests.harness.roots import RECENT

# A cache that cannot be used becomes usable; nobody flushes. Prints what the drain still remembers at the end.
SCRIPT = """
import os, sys, threading, time
from pathlib import Path
from nix_autocache import environment
sys.path.append(str(environment.wanted(None, os.environ).directory))
from nix_autocache import keys
from nix_autocache.settings import read
from nix_autocache.uploader.job import Job

def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)

place = Path("/root/cache")
place.write_text("not a directory")
job = Job.of(
    read({}, {}, {}), queue="/root/queue", roots="", nix_bin="/usr/bin", cache=f"file://{place}", began=0,
    key=str(keys.generate("months-1")), dry_run=False, environ={}, care=0.2,
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
wait_for(lambda: not drain._ledger._settled)
print("remembers nothing")
"""


def test_what_failed_is_tried_again_without_a_flush_and_then_forgotten(machine: MakeMachine) -> None:
    one = machine(RECENT, product.binds())
    nix.without_daemon(one)
    paths = [nix.build(one, graphs.leaf(name)) for name in ("first", "second")]
    Job(one).run("--version")
    one.write("/root/months.py", SCRIPT)
    said = one.run(["python3", "-sP", "/root/months.py", *paths], env=product.environment()).stdout
    assert said.splitlines()[-2:] == ["pushed 2", "remembers nothing"]
