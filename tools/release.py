"""Checks that a tag can be released, and prints the release's notes, from CHANGELOG.md.

`python tools/release.py v0.1.0`. The version is in `src/nix_autocache/__init__.py`; the changelog must have it with a
date and a text, the component's template and the examples must name it, and no page may say that there is no release
yet. Standard library only.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_VERSION: Final = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_BEFORE: Final = re.compile(r"(been released|no release) yet")


def notes(changelog: str, version: str) -> str:
    """The text of a version. Raises ValueError if it has none, no date, or is not the newest."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    released = [section for section in sections if not section.startswith("[Unreleased]")]
    heading, _, text = released[0].partition("\n") if released else ("", "", "")
    if not re.fullmatch(rf"\[{re.escape(version)}\] - \d{{4}}-\d{{2}}-\d{{2}}", heading):
        raise ValueError(f"CHANGELOG.md: the newest version is not `## [{version}] - YYYY-MM-DD`")
    if not text.strip():
        raise ValueError(f"CHANGELOG.md says nothing of {version}")
    return text.strip() + "\n"


def problems(root: Path, version: str) -> Iterator[str]:
    """What does not name this version, one sentence each."""
    found = _VERSION.search((root / "src/nix_autocache/__init__.py").read_text(encoding="utf-8"))
    if not found or found[1] != version:
        yield f"src/nix_autocache/__init__.py is of version {found[1] if found else 'none'}, not {version}"
    template = "templates/nix-autocache/template.yml"
    if f"nix_autocache_template='{version}'" not in (root / template).read_text(encoding="utf-8"):
        yield f"{template} is of another version; run `make reference`"
    for example in sorted(root.glob("examples/gitlab/*.yml")):
        if f"nix-autocache@{version}\n" not in example.read_text(encoding="utf-8"):
            yield f"{example.relative_to(root)} includes another version than {version}"
    for page in (root / "README.md", root / "CHANGELOG.md", *sorted(root.glob("docs/*.md"))):
        if said := _BEFORE.search(page.read_text(encoding="utf-8")):
            yield f"{page.relative_to(root)} says `{said[0]}`"
    for example in sorted(root.glob("examples/gc/*.yml")):
        if f"nix-autocache[aws]=={version}'" not in example.read_text(encoding="utf-8"):
            yield f"{example.relative_to(root)} installs another version than {version}"


def main(tag: str, root: Path = ROOT) -> int:
    """1 if the tag cannot be released, which is then said on standard error."""
    version = tag.removeprefix("v")
    said = [f"the tag {tag} is not of the form v1.2.3"] if not re.fullmatch(r"v\d+\.\d+\.\d+", tag) else []
    said += problems(root, version)
    try:
        text = notes((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    except ValueError as error:
        said.append(str(error))
    if said:
        print("\n".join(said), file=sys.stderr)
        return 1
    print(text, end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
