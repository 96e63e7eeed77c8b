"""Writes what is said once into every file that shows it: the inputs from `settings`, the template's scripts from
`src/gitlab/`, the examples and the licences into the documentation.

`make reference` runs it as `python -m tools.reference`, and a test with --check. What it writes stands between two
marks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tools import licences

from nix_autocache import __version__
from nix_autocache.settings import INPUTS, TEMPLATE_INPUTS, Input

ROOT: Final = Path(__file__).parents[1]
SCRIPTS: Final = ROOT / "src/gitlab"
EXAMPLES: Final = sorted(ROOT.glob("examples/gitlab/*.yml"))

# The template's shell has inputs between lines that begin with `=`: the name of each, and the end of all. GitLab puts
# values in before a shell sees them, so that one with such a line would end them, and the rest would be run.
LINES: Final = r"^([^=\n][^\n]*)?(\n([^=\n][^\n]*)?)*$"
COMMON: Final = [row for row in INPUTS if row.only != "GitLab"]
OFFERED_BY_GITLAB: Final = [row for row in INPUTS if row.only != "GitHub"]
GITLAB: Final = [*(row for row in INPUTS if row.only == "GitLab"), *TEMPLATE_INPUTS]


def action_yml() -> str:
    """The inputs of action.yml."""
    blocks = []
    for row in COMMON:
        lines = [
            f"  {row.name}:",
            f"    description: {quoted(plain(row.doc))}",
            "    required: false",
            f"    default: {quoted(row.github_default or row.default)}",
        ]
        blocks.append("\n".join(lines) + "\n")
    return "".join(blocks)


def component_inputs() -> str:
    """The inputs of GitLab's component, which refuses by itself what is not among `options` or no number."""
    blocks = []
    for row in (*OFFERED_BY_GITLAB, *TEMPLATE_INPUTS):
        default = row.gitlab_default or row.default
        lines = [
            f"    {row.name}:",
            f"      description: {quoted(plain(row.doc))}",
            f"      type: {'number' if row.numeric else 'string'}",
            f"      default: {default if row.numeric else quoted(default)}",
        ]
        if row.choices:
            choices = dict.fromkeys((*([] if row.default else [""]), *row.choices))
            lines.append(f"      options: [{', '.join(quoted(choice) for choice in choices)}]")
        elif not row.numeric:
            lines.append(f"      regex: {quoted(LINES)}")
        blocks.append("\n".join(lines) + "\n")
    return "".join(blocks)


def component_scripts() -> str:
    """The two scripts of GitLab's component: the inputs as text, then the shell that hands them on.

    A here-document within `$(…)` would end at a quote or a parenthesis of an input, in bash 3.2, which macOS has.
    """
    given = "".join(f"={row.name}=\n$[[ inputs.{row.name} ]]\n" for row in OFFERED_BY_GITLAB)
    inputs = f"""\
# nix-autocache: its inputs
nix_autocache_read() {{
  nix_autocache_text=
  while IFS= read -r nix_autocache_line; do
    nix_autocache_text="$nix_autocache_text$nix_autocache_line
"
  done
}}
nix_autocache_read <<'=end-of-inputs='
{given}=end-of-inputs=
nix_autocache_inputs=$nix_autocache_text
nix_autocache_template='{__version__}'
nix_autocache_on_failure='$[[ inputs.on-upload-failure ]]'
nix_autocache_read <<'=end-of-install='
$[[ inputs.install ]]
=end-of-install=
nix_autocache_install=$nix_autocache_text
"""
    tool, python, setup, finish = (script(name) for name in ("tool", "python", "setup", "finish"))
    return (
        f'"$[[ inputs.steps ]]":\n'
        f"  setup: &setup\n{item(inputs, 'inputs')}{item(tool, 'tool')}{item(python)}{item(setup)}"
        f"  finish: &finish\n    - *inputs\n    - *tool\n{item(finish)}"
    )


def script(name: str) -> str:
    """A shell script without its first line and without what is for shellcheck."""
    lines = (SCRIPTS / f"{name}.sh").read_text(encoding="utf-8").splitlines(keepends=True)[1:]
    return "".join(line for line in lines if not line.lstrip().startswith("# shellcheck"))


def item(text: str, anchor: str = "") -> str:
    """A list item of several lines."""
    mark = f"&{anchor} " if anchor else ""
    return f"    - {mark}|\n" + "".join(f"      {line}\n" if line else "\n" for line in text.splitlines())


def markdown_table(rows: Sequence[Input]) -> str:
    """A table for people."""
    lines = [f"| `{row.name}` | {shown_default(row)} | {row.doc.replace('|', chr(92) + '|')} |" for row in rows]
    return "\n".join(["| input | default | meaning |", "|---|---|---|", *lines]) + "\n"


def example(path: Path) -> str:
    """A whole example."""
    return f"```yaml\n{path.read_text(encoding='utf-8')}```\n"


def shown_default(row: Input) -> str:
    return row.default_doc or (f"`{row.default}`" if row.default else "")


def plain(text: str) -> str:
    """Markdown without its marks."""
    return text.replace("`", "")


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class Region:
    """What is written between two marks of a file."""

    file: str
    begin: str
    end: str
    render: Callable[[], str]


def marks(what: str) -> tuple[str, str]:
    """The comments around something in a page."""
    return f"<!-- begin {what}: {BY_REFERENCE} -->\n", f"<!-- end {what} -->\n"


def shown(file: str, path: Path) -> Region:
    """An example in a file."""
    return Region(file, *marks(str(path.relative_to(ROOT))), partial(example, path))


BY_REFERENCE: Final = "written by `make reference`"
TABLE: Final = marks("inputs")
TEMPLATE: Final = "templates/nix-autocache/template.yml"
REGIONS: Final = (
    Region("action.yml", f"  # begin inputs: {BY_REFERENCE} from settings.py\n", "  # end inputs\n", action_yml),
    Region("docs/reference.md", *TABLE, partial(markdown_table, COMMON)),
    Region(TEMPLATE, f"    # begin inputs: {BY_REFERENCE} from settings.py\n", "    # end inputs\n", component_inputs),
    Region(TEMPLATE, f"# begin scripts: {BY_REFERENCE} from src/gitlab/\n", "# end scripts\n", component_scripts),
    Region("docs/gitlab.md", *TABLE, partial(markdown_table, GITLAB)),
    *(shown("docs/gitlab.md", path) for path in EXAMPLES),
    *(shown("docs/caches.md", path) for path in sorted(ROOT.glob("examples/gc/*.yml"))),
    shown("README.md", EXAMPLES[0].with_name("embedded.yml")),
    Region("docs/licences.md", *marks("licences of jobs"), licences.of_jobs),
    Region("docs/licences.md", *marks("licences of developers"), licences.of_developers),
)


def wanted(name: str) -> str:
    """A file as it should be. Raises ValueError where marks are missing."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for region in REGIONS:
        if region.file == name:
            head, tail = text.index(region.begin) + len(region.begin), text.index(region.end)
            text = text[:head] + region.render() + text[tail:]
    return text


def main(arguments: list[str]) -> int:
    """Write every file, or with --check only say which is out of date; 1 if one was."""
    names = dict.fromkeys(region.file for region in REGIONS)
    stale = [name for name in names if (ROOT / name).read_text(encoding="utf-8") != wanted(name)]
    for name in stale:
        print(f"{name} is out of date; run `make reference`" if "--check" in arguments else f"wrote {name}")
        if "--check" not in arguments:
            (ROOT / name).write_text(wanted(name), encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
