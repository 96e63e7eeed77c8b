"""An uploader whose job was killed: nobody ends it, so it must end by itself, and not a moment before."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nix_autocache.nix.key_source import KeySource
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.queue.directory import Queue
from nix_autocache.uploader import spec_text
from nix_autocache.uploader.access import CacheAccess
from nix_autocache.uploader.process.client import UploaderClient
from nix_autocache.uploader.process.spec import ProcessSpec
from nix_autocache.uploader.spec import UploadSpec
from tests.harness.waiting import wait_for

PROGRAM = """
import sys
from pathlib import Path
from nix_autocache.uploader.process import main, states
states._FORGOTTEN = float(sys.argv[1])
raise SystemExit(main.main(Path(sys.argv[2]), int(sys.argv[3])))
"""


def start(directory: Path, seconds: float, cache: str) -> subprocess.Popen[bytes]:
    """The uploader's own program, which finds itself forgotten after `seconds`."""
    Queue(directory / "queue").create()
    job = UploadSpec(
        queue=directory / "queue",
        access=CacheAccess(url=parse_cache_url(cache), nix_bin=Path("/absent"), environ={}),
        key=KeySource(),
        compression="zstd",
        compression_level=3,
        dry_run=False,
        began=0,
    )
    words = [sys.executable, "-c", PROGRAM, str(seconds), str(directory / "uploader.sock"), str(os.geteuid())]
    process = subprocess.Popen(words, stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(spec_text.line(ProcessSpec(upload=job, reading=None)))
    process.stdin.close()
    return process


@pytest.mark.parametrize("cache", ["file://{}/cache", "file:///proc/absent"])
def test_an_uploader_with_nothing_to_do_ends(tmp_path: Path, cache: str) -> None:
    """Also one that could never push."""
    with start(tmp_path, 0.3, cache.format(tmp_path)) as process:
        assert process.wait(20) == 0
    assert not (tmp_path / "uploader.sock").exists()


@pytest.mark.slow
def test_an_uploader_that_is_asked_to_flush_stays(tmp_path: Path) -> None:
    with start(tmp_path, 3.0, f"file://{tmp_path}/cache") as process:
        uploader = UploaderClient(tmp_path)
        wait_for(lambda: uploader.status() is not None, "the uploader to answer", 20)
        end = time.monotonic() + 4.0
        while time.monotonic() < end:
            assert uploader.flush(5)
        assert uploader.stop()
        assert process.wait(20) == 0
