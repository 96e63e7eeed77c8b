"""The documentation: what it links to exists, and the messages that it quotes are in the code."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
CODE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(`+)[^`].*?\1", re.DOTALL)
LINK = re.compile(r"\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
HTML_ANCHOR = re.compile(r"<a\s[^>]*(?:id|name)=\"([^\"]+)\"")


def targets(page: Path) -> Iterator[str]:
    """The relative links of a page, without those in code."""
    for match in LINK.finditer(SPAN.sub("", CODE.sub("", page.read_text(encoding="utf-8")))):
        target = match[1] or match[2]
        if not re.match(r"[a-z][a-z0-9+.-]*:|//", target):
            yield target


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings; the second of two equal ones ends with -1."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    found = set(HTML_ANCHOR.findall(text))
    seen: Counter[str] = Counter()
    for heading in HEADING.findall(text):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def broken(page: Path, root: Path = ROOT) -> Iterator[str]:
    """One sentence for each link of a page that leads nowhere, or out of `root`."""
    for target in targets(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / unquote(path)).resolve() if path else page
        if not file.is_relative_to(root) or not file.exists():
            yield f"{target}: there is no such file"
        elif anchor and anchor not in anchors(file):
            yield f"{target}: there is no such heading"


def test_the_documentation_is_found() -> None:
    assert {ROOT / "README.md", ROOT / "docs/status.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {(ROOT / target.partition("#")[0]).resolve() for target in targets(ROOT / "README.md")}
    assert set(PAGES) - linked == {ROOT / "README.md"}


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("[a](b.md)", ["b.md: there is no such file"]),
        ("[a](#there)", []),
        ("[a](#a-code-and-b-1)", []),
        ("[a](#not-there)", ["#not-there: there is no such heading"]),
        ("[a]: b.md", ["b.md: there is no such file"]),
        ("`[a](b.md)` [a](https://example.org/b.md)", []),
        ("```\n[a](b.md)\n```", []),
    ],
)
def test_the_check_finds_what_is_broken(tmp_path: Path, link: str, problem: list[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# There\n\n## A `code`, and [b](#there)\n\n### A code and b\n\n{link}\n")
    assert list(broken(page, tmp_path)) == problem


RUN_TIME = {"new/", "failed/", "gcroots/per-user/"}  # directories of the queue and of Nix, on the user's machine


@pytest.mark.parametrize("name", ["how-it-works", "contributing"])
def test_every_file_that_the_page_names_exists(name: str) -> None:
    text = (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w.-][\w./-]*(?:\.py|\.sh|\.mjs|\.yml|/))`", text)) - RUN_TIME
    assert named
    missing = [file for file in named if not any((top / file).exists() for top in (ROOT, ROOT / "src/nix_autocache"))]
    assert missing == []


def code_texts() -> str:
    """The fixed text of every string and script in the code, one piece a line."""
    pieces: list[str] = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                pieces.append(node.value)
    pieces += [
        path.read_text(encoding="utf-8") for ending in ("sh", "mjs") for path in (ROOT / "src").rglob(f"*.{ending}")
    ]
    return "\n".join(pieces)


def quoted_messages() -> Iterator[str]:
    """What the first column of troubleshooting.md quotes, without the rows that are Nix's own messages."""
    rows = re.findall(
        r"^\| (.+?) \| .+ \|$", (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    for row in rows:
        if not row.startswith("Nix "):
            yield from re.findall(r"`([^`]+)`", row)


def windows(message: str) -> list[str]:
    """Every run of three words of a message, without what the report puts before it and without the parts that vary."""
    own = re.sub(r"^(NOT pushed|not pushing|pull only): ", "", message)
    parts = (part.strip(" :;,.").split() for part in re.split(r"…|\b\d{3}\b", own))
    return [" ".join(words[start : start + 3]) for words in parts for start in range(len(words) - 2)]


def test_every_message_that_troubleshooting_quotes_is_in_the_code() -> None:
    texts = code_texts()
    missing = [
        message for message in quoted_messages() if (found := windows(message)) and not any(w in texts for w in found)
    ]
    assert missing == []
