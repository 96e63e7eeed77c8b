"""The wheels of a lock file, for machines that have no network but check every hash all the same.

One directory serves the Pythons of all three roots. Markers are decided here for each of them, because pip,
asked to download for another Python, decides them for its own.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from tests.harness import cache, roots
from tests.harness.machine import Bind
from tests.harness.roots import GENERATIONS, Generation

TARGET = "/wheels"


@dataclass(frozen=True)
class Wheelhouse:
    """A directory of wheels on the host."""

    path: Path

    def bind(self) -> Bind:
        return Bind(self.path, TARGET)

    def env(self) -> dict[str, str]:
        """Variables that send pip and uv there and nowhere else, on a machine that has `bind()`."""
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": TARGET, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        pip["PIP_NO_COMPILE"] = "0"  # which means that it compiles nothing: most of it is never imported
        return pip | {"UV_NO_INDEX": "1", "UV_FIND_LINKS": TARGET}


def wheelhouse(locks: Sequence[Path], generations: Sequence[Generation] = GENERATIONS) -> Wheelhouse:
    """The wheels of all `locks`, downloaded by the host's pip when the harness's cache lacks them."""
    pythons = sorted({roots.python_version(generation) for generation in generations})
    name = f"wheels-{cache.key(*pythons, *(lock.read_bytes() for lock in locks))}"

    def fill(path: Path) -> None:
        for python in pythons:
            for lock in locks:
                _download(lock, python, path)

    return Wheelhouse(cache.entry(name, fill))


def for_python(lock: str, python: str) -> str:
    """The lines of a lock, with hashes and without markers, that apply to a Python such as `3.11`."""
    return "".join(_applying(_entries(lock.splitlines()), python))


def _entries(lines: Iterable[str]) -> Iterator[list[str]]:
    entry: list[str] = []
    for line in lines:
        words = line.split(" #")[0].strip()
        if words and not words.startswith("#"):
            entry.append(words.removesuffix("\\").strip())
        if entry and not words.endswith("\\"):
            yield entry
            entry = []


def _applying(entries: Iterable[list[str]], python: str) -> Iterator[str]:
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    for first, *hashes in entries:
        words, *more = first.split(" --hash")
        wanted = Requirement(words)
        if wanted.marker is None or wanted.marker.evaluate(environment):
            pin = f"{wanted.name}{wanted.specifier}"
            yield " ".join([pin, *(f"--hash{word}" for word in more), *hashes]) + "\n"


def _download(lock: Path, python: str, directory: Path) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as chosen:
        chosen.write(for_python(lock.read_text(), python))
        chosen.flush()
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += [f"--python-version={python}", f"--dest={directory}", f"--requirement={chosen.name}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed for {lock}:\n{done.stdout}{done.stderr}")
