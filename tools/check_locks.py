"""Says for which platform and Python a lock of a user's job has no wheel, in the index, whose hash the lock has.

`tools/check_locks.py` asks the index that uv is configured with, and installs as a job does, with every hash checked.
Its last line counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LOCKS: Final = [ROOT / "requirements" / name for name in ("base.txt", "gha.txt", "aws.txt")]
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
# Those that docs/status.md names, with the oldest libc. obstore has no wheel for aarch64 with a glibc before 2.28.
PLATFORMS: Final = (
    "x86_64-manylinux_2_17",
    "aarch64-manylinux_2_28",
    "x86_64-unknown-linux-musl",  # musl 1.2
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
)
MACOS: Final = "11.0"


def missing(lock: Path, platform: str, python: str, scratch: Path) -> str:
    """Why the lock cannot be installed there, in uv's words on one line; empty if it can. `scratch` keeps wheels."""
    with tempfile.TemporaryDirectory(dir=scratch) as target:
        words = [f"{sysconfig.get_path('scripts')}/uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        words += ["--only-binary", ":all:", "--python", sys.executable, "--target", target]
        words += ["--python-platform", platform, "--python-version", python, "--requirement", str(lock.resolve())]
        environ = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": MACOS, "UV_CACHE_DIR": str(scratch / "wheels")}
        done = subprocess.run(words, cwd=target, env=environ, capture_output=True, text=True, check=False)
    return " ".join(done.stderr.split()) or f"uv ended with {done.returncode}" if done.returncode else ""


def incomplete(locks: list[Path]) -> Iterator[str]:
    """A line for each combination that cannot be installed."""
    with tempfile.TemporaryDirectory() as scratch:
        for lock, platform, python in product(locks, PLATFORMS, PYTHONS):
            if why := missing(lock, platform, python, Path(scratch)):
                yield f"{lock.name}, {platform}, Python {python}: {why}"


def main(arguments: list[str]) -> int:
    """Print what is incomplete; 1 if something is. `arguments` are locks, by default all of them."""
    locks = [Path(name) for name in arguments] or LOCKS
    lines = list(incomplete(locks))
    print(*lines, f"{len(locks) * len(PLATFORMS) * len(PYTHONS)} combinations, {len(lines)} incomplete", sep="\n")
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
