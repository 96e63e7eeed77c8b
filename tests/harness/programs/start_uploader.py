"""Start an uploader and print the seconds until it can take work: `start_uploader.py KEY`."""

import os
import sys
import time
from pathlib import Path

from nix_autocache import environment

sys.path.append(str(environment.wanted(None, os.environ).directory))
from nix_autocache.queue.directory import Queue
from nix_autocache.uploader.client import Uploader
from nix_autocache.uploader.job import Job

here = Path("/root/start")
Queue(here / "queue").create()
job = Job(
    queue=str(here / "queue"),
    roots="",
    nix_bin="/usr/bin",
    cache="file:///root/start/cache",
    key=sys.argv[1],
    compression="zstd",
    compression_level=3,
    upstreams=(),
    exclude="",
    dry_run=False,
    environ={},
    began=0,
)
uploader = Uploader(here)
begun = time.monotonic()
uploader.wait_ready(uploader.start(job))
print(time.monotonic() - begun)
uploader.stop()
