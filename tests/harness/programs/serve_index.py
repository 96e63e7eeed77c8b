"""A read proxy for a cache, by itself: `serve_index.py PORT CACHE KEYS INDEX…`; it serves until it is killed."""

import io
import os
import sys
from pathlib import Path

from nix_autocache.machine.packages import locked

sys.path.append(str(locked.wanted(None, os.environ).directory))
from nix_autocache.nix.keys import parse_public_keys
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.uploader import spec_text
from nix_autocache.uploader.access import CacheAccess
from nix_autocache.uploader.read_proxy import launch, main
from nix_autocache.uploader.read_proxy.address import Address
from nix_autocache.uploader.read_proxy.spec import ReadSpec

port, cache, keys, *indexes = sys.argv[1:]
spec = ReadSpec(
    address=Address(int(port), ""),
    access=CacheAccess(url=parse_cache_url(cache), nix_bin=Path("/usr/bin"), environ={}),
    trusted=parse_public_keys(keys, "keys"),
    indexes=tuple(indexes),
)
listening = launch.listen(spec.address.port)
print("listening", flush=True)
sys.stdin = io.StringIO(spec_text.line(spec).decode())
uploader = Path("/root/serving/socket")  # as long as it is there, the uploader has not ended
uploader.parent.mkdir(exist_ok=True)
uploader.touch()
main.main(uploader, listening.fileno())
