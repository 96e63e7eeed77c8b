"""Embedded caches whose entries a test makes by hand."""

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
