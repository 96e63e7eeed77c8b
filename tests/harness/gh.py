"""GitHub's own command-line program, from Debian: it runs wherever there is a libc as new as Debian 12's."""

from pathlib import Path

from tests.harness import cache
from tests.harness.roots import OLD, bootstrap


def program() -> Path:
    """Its path, fetched (20 s) when the harness's cache lacks it."""
    return cache.entry(f"gh-{OLD.suite}", _fetch) / "gh"


def _fetch(path: Path) -> None:
    bootstrap(OLD.suite, Path("/dev/null"), ("gh",), [f"--customize-hook=download /usr/bin/gh {path}/gh"])
    path.joinpath("gh").chmod(0o755)
