"""Kills an uploader at random moments and looks at what is left: `python3 kills.py DIRECTORY ROUNDS SEED PATH…`.

Run inside a machine whose environment of packages was made. Every round has a queue and a cache of its own. The
victim is forked, so that a round costs what the upload costs and not the start of a Python. Prints what is wrong.
"""

import base64
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from nix_autocache.machine.packages import locked

sys.path.append(str(locked.wanted(None, os.environ).directory))

import nacl.bindings
import nacl.exceptions

import nix_autocache.caches.directory
import nix_autocache.uploader.drain  # noqa: F401 - imported before the fork, once for all rounds
from nix_autocache.nix import keys
from nix_autocache.nix.key_source import KeySource
from nix_autocache.nix.store import StorePath
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.uploader.access import CacheAccess
from nix_autocache.uploader.foreground import drain_here
from nix_autocache.uploader.spec import UploadSpec

KEY = keys.generate("kills-1")


class Round:
    """A queue with all paths, an empty cache, and what is found in it."""

    def __init__(self, directory: Path, paths: Sequence[StorePath]) -> None:
        self.paths = paths
        self.cache = directory / "cache"
        self.job = UploadSpec(
            queue=directory / "queue",
            access=CacheAccess(url=parse_cache_url(f"file://{self.cache}"), nix_bin=Path("/usr/bin"), environ={}),
            key=KeySource.of_key(KEY),
            compression="zstd",
            compression_level=1,
            dry_run=False,
            began=int(time.time()),
        )
        self.queue = self.job.open_queue()
        self.queue.create()
        for path in paths:
            self.queue.add(path.base, [path])

    def upload(self, kill_after: float | None = None, *, narinfos: bool = False) -> int:
        """The exit status of an uploader, or the signal that ended it, negative; `narinfos` counts the seconds from
        when the first of them is there."""
        child = os.fork()
        if not child:
            os._exit(min(1, drain_here(self.job, time.monotonic() + 20, lambda _: None, check=False).left))
        if kill_after is not None:
            give_up = time.monotonic() + 20
            while narinfos and not self._any_narinfo() and time.monotonic() < give_up:
                time.sleep(0.0005)
            time.sleep(kill_after)  # a moment like any other: nothing is waited for
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def holes(self) -> Iterator[str]:
        """Archives and references that a narinfo names and the cache lacks."""
        for path in self.cache.glob("*.narinfo"):
            info = dict(line.split(": ", 1) for line in path.read_text().splitlines())
            archive = self.cache / info["URL"]
            if not archive.is_file() or archive.stat().st_size != int(info["FileSize"]):
                yield f"{path.name}: no {info['URL']}"
            references = info["References"].split()
            yield from (f"{path.name}: no {base}" for base in references if not self._has(base))
            if not signed(info):
                yield f"{path.name}: the signature is wrong"

    def visible(self) -> dict[str, tuple[int, int]]:
        """The files' inodes of every path in the cache, by narinfo: they change if a file is written again."""
        found = {}
        for path in self.cache.glob("*.narinfo"):
            url = next(line[5:] for line in path.read_text().splitlines() if line.startswith("URL: "))
            found[path.stem] = (path.stat().st_ino, (self.cache / url).stat().st_ino)
        return found

    def losses(self, before: dict[str, tuple[int, int]]) -> Iterator[str]:
        """Faults in the state after a flush: paths missing, uploaded twice, without outcome or still queued."""
        after = self.visible()
        yield from (f"{path} is missing" for path in self.paths if path.hash_part not in after)
        yield from (f"{name} was uploaded twice" for name, files in before.items() if after.get(name) != files)
        recorded = {outcome.path for outcome in self.queue.outcomes.recorded()}
        yield from (f"{path} has no outcome" for path in self.paths if path not in recorded)
        yield from (f"{name} is still queued" for name in self.queue.names())

    def _any_narinfo(self) -> bool:
        return next(self.cache.glob("*.narinfo"), None) is not None

    def _has(self, base: str) -> bool:
        return (self.cache / f"{base[:32]}.narinfo").is_file()


def signed(info: dict[str, str]) -> bool:
    references = ",".join(f"/nix/store/{base}" for base in info["References"].split())
    fingerprint = f"1;{info['StorePath']};{info['NarHash']};{info['NarSize']};{references}".encode()
    name, _, signature = info["Sig"].partition(":")
    try:
        nacl.bindings.crypto_sign_open(base64.b64decode(signature) + fingerprint, KEY.public.raw)
    except nacl.exceptions.CryptoError:
        return False
    return name == KEY.name


def duration(whole: Round) -> float:
    """Seconds of an upload that nobody kills."""
    begun = time.monotonic()
    assert whole.upload() == 0
    return time.monotonic() - begun


def main(directory: Path, rounds: int, seed: int, paths: Sequence[StorePath]) -> None:
    moments = random.Random(seed)
    longest = min(duration(Round(directory / f"whole-{number}", paths)) for number in range(3))
    killed, partial = 0, 0
    for number in range(rounds):
        one = Round(directory / str(number), paths)
        # Narinfos come last: half of the rounds look at what happens then, however slow the machine is.
        last = bool(number % 2)
        status = one.upload(moments.uniform(0, longest / 4 if last else longest), narinfos=last)
        problems = [*one.holes()]
        before = one.visible()
        killed += status == -signal.SIGKILL
        partial += 0 < len(before) < len(paths)
        problems += [] if one.upload() == 0 else ["the flush failed"]
        problems += [*one.holes(), *one.losses(before)]
        for problem in problems:
            print(f"round {number}: {problem}", flush=True)
        shutil.rmtree(directory / str(number))
    print(f"{killed} killed, {partial} in the middle; a whole run took {longest:.3f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), [StorePath(path) for path in sys.argv[4:]])
