"""Says which pins have a newer release on a package index; 1 if any has.

`python3 tools/check_pins.py requirements/*.in`, weekly in ci.yml. It takes locks, too, but there, what a package needs
of another may exclude the newest. It asks the index for its JSON (PEP 691, with the versions of PEP 700). Pre-releases
and releases of which every file was withdrawn do not count. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

INDEX: Final = "https://pypi.org/simple"
_JSON: Final = "application/vnd.pypi.simple.v1+json"
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==(\d[\w.]*)(?=[\s;]|$)", re.MULTILINE)
_FINAL: Final = re.compile(r"\d+(?:\.\d+)*(?:\.post\d+)?")
_TIMEOUT: Final = 30.0  # seconds


def pins(locks: Iterable[Path]) -> Mapping[str, set[str]]:
    """The versions of each package that is pinned: several, where Pythons need different ones."""
    found: dict[str, set[str]] = {}
    for lock in locks:
        for name, version in _PIN.findall(lock.read_text(encoding="utf-8")):
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), set()).add(version)
    return found


def newest(answer: Mapping[str, Any]) -> str:
    """The newest final version in an index's answer of which a file is still offered; empty if there is none."""
    name = str(answer["name"]).replace("-", "[-_.]+")
    offered = [str(file["filename"]) for file in answer["files"] if not file.get("yanked")]
    final = [version for version in map(str, answer["versions"]) if _FINAL.fullmatch(version)]
    for version in sorted(final, key=key, reverse=True):
        if any(re.match(rf"{name}-{re.escape(version)}(-|\.tar|\.zip)", file, re.IGNORECASE) for file in offered):
            return version
    return ""


def key(version: str) -> tuple[int, ...]:
    """By which final versions are ordered: their numbers, those after `.post` too."""
    numbers = [int(number) for number in re.findall(r"\d+", version)]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def ask(index: str, name: str) -> Mapping[str, Any]:
    """The index's answer for a package. Raises OSError or ValueError."""
    request = urllib.request.Request(f"{index}/{name}/", headers={"Accept": _JSON})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        found: Mapping[str, Any] = json.load(answer)
    return found


def outdated(found: Mapping[str, set[str]], index: str) -> Iterator[str]:
    """One line for each package with a newer release. Raises OSError or ValueError if the index does not answer."""
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(partial(ask, index), found)
        for (name, versions), answer in zip(found.items(), answers, strict=True):
            latest, pinned = newest(answer), max(versions, key=key)
            if latest and key(latest) > key(pinned):
                yield f"{name}: {latest} is newer than the pinned {pinned}"


def main(words: list[str]) -> int:
    """1 if there is a newer release, 2 if the index cannot be asked."""
    parser = argparse.ArgumentParser(description="Say which pins have a newer release.")
    parser.add_argument("--index", default=INDEX, help="URL of the index")
    parser.add_argument("locks", nargs="+", type=Path, metavar="FILE")
    options = parser.parse_args(words)
    try:
        lines = list(outdated(pins(options.locks), options.index.rstrip("/")))
    except (OSError, ValueError, KeyError) as error:
        print(f"check_pins: {options.index} cannot be asked: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines) or "every pin is the newest release")
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
