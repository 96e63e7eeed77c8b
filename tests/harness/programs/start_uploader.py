"""Start an uploader and print the seconds until it can take work: `start_uploader.py KEY`."""

import os
import sys
import time
from pathlib import Path

from nix_autocache.machine.packages import locked

sys.path.append(str(locked.wanted(None, os.environ).directory))
from nix_autocache.nix.key_source import KeySource
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.queue.directory import Queue
from nix_autocache.uploader.access import CacheAccess
from nix_autocache.uploader.process.client import UploaderClient
from nix_autocache.uploader.process.spec import ProcessSpec
from nix_autocache.uploader.spec import UploadSpec

here = Path("/root/start")
Queue(here / "queue").create()
job = UploadSpec(
    queue=here / "queue",
    access=CacheAccess(url=parse_cache_url("file:///root/start/cache"), nix_bin=Path("/usr/bin"), environ={}),
    key=KeySource.parse(sys.argv[1]),
    compression="zstd",
    compression_level=3,
    dry_run=False,
    began=0,
)
uploader = UploaderClient(here)
begun = time.monotonic()
uploader.wait_ready(uploader.start(ProcessSpec(upload=job, reading=None)))
print(time.monotonic() - begun)
uploader.stop()
