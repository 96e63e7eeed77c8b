"""Embedded caches whose entries a test makes by hand."""

import os
from pathlib import Path

from nix_autocache.nix.narinfo import NarFile, render
from nix_autocache.nix.store import PathInfo, StorePath

STORE = "/nix/store"
HASH = "0" * 52


def info(letter: str, *references: str, signatures: tuple[str, ...] = ()) -> PathInfo:
    paths = tuple(StorePath(f"{STORE}/{each * 32}-{each}") for each in references)
    path = StorePath(f"{STORE}/{letter * 32}-{letter}")
    return PathInfo(path, "", paths, f"sha256:{HASH}", 120, "", signatures)


def put(cache: Path, given: PathInfo, text: str = "", archive: str = "nar/x.nar.zst") -> Path:
    """A narinfo, and the archive x.nar.zst of nine bytes."""
    (cache / "nar").mkdir(parents=True, exist_ok=True)
    (cache / "nar/x.nar.zst").write_bytes(b"an x, 9 B")
    file = cache / f"{given.path.hash_part}.narinfo"
    file.write_text(text or render(given, NarFile(archive, "zstd", HASH, 9), None))
    return file


def put_what_others_left(cache: Path, outside: Path) -> str:
    """Narinfos of a to p: only that of a, whose text is returned, is one of ours. Some lead to the file `outside`."""
    good = put(cache, info("a", "b")).read_text()
    outside.write_text(good.replace("a" * 32, "c" * 32))
    (cache / f"{'c' * 32}.narinfo").symlink_to(outside)
    os.mkfifo(cache / f"{'d' * 32}.narinfo")
    (cache / f"{'f' * 32}.narinfo").mkdir()
    put(cache, info("g"), good)
    put(cache, info("h"), archive="nar/missing.nar.zst")
    put(cache, info("i"), archive="../../../etc/passwd")
    put(cache, info("j"), archive="https://elsewhere/nar/x.nar.zst")
    put(cache, info("k"), "\0\xff" * 50)
    put(cache, info("l")).write_bytes(b"Sig: \xff\n" * 9)
    put(cache, info("p")).write_text("StorePath: " + "x" * (2 << 20))
    return good
