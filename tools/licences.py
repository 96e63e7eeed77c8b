"""The licence of every package that a lock names, from the metadata of the installed ones: docs/licences.md.

`make reference` writes the tables: of what Python 3.11 on Linux needs, whatever Python runs this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

LOCKS: Final = Path(__file__).parents[1] / "requirements"
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+==[^\\]+?) *\\$", re.MULTILINE)
_CLASSIFIER: Final = re.compile(r"License :: (?:OSI Approved :: )?(.+)")
_OLDEST: Final = {"python_version": "3.11", "python_full_version": "3.11.0"}
_NOT_EVERYWHERE: Final = {"backports-zstd": "PSF-2.0"}  # not installed where the standard library has it
_LONGEST: Final = 40  # characters of a licence's name; some packages have the whole text there


def of_jobs() -> str:
    """The table of what jobs install."""
    return _table({name: row for lock in ("base.txt", "gha.txt", "aws.txt") for name, row in rows(lock)})


def of_developers() -> str:
    """The table of what `init` and developers need besides."""
    jobs = {name for lock in ("base.txt", "gha.txt", "aws.txt") for name, _ in rows(lock)}
    return _table({name: row for name, row in rows("dev.txt") if name not in jobs})


def rows(lock: str) -> Iterator[tuple[str, str]]:
    """The name of each package of a lock, and its row. Raises PackageNotFoundError if one is not installed."""
    for pin in _PIN.findall((LOCKS / lock).read_text(encoding="utf-8")):
        wanted = Requirement(pin)
        if wanted.marker is None or wanted.marker.evaluate(_OLDEST):
            name = wanted.name
            known = _NOT_EVERYWHERE.get(name) or licence(metadata.metadata(name).json)
            yield name, f"| {name} | {str(wanted.specifier)[2:]} | {known} |"


def licence(known: Mapping[str, Any]) -> str:
    """A licence by its SPDX expression, else by its name, else by the classifiers, of metadata as JSON (PEP 566)."""
    name = str(known.get("license", "")).strip()
    classifiers = [found[1] for each in known.get("classifier", []) if (found := _CLASSIFIER.fullmatch(each))]
    short = name if 0 < len(name) <= _LONGEST and "\n" not in name else ""
    return str(known.get("license_expression", "")) or short or ", ".join(classifiers) or "see the package"


def _table(found: dict[str, str]) -> str:
    return "\n".join(["| package | version | licence |", "|---|---|---|", *found.values()]) + "\n"
