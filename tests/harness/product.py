"""nix-autocache itself in a machine, as the action and the GitLab template run it, with its packages at hand.

Packages are installed from a lock's wheels into a tool cache that all machines share, so that only the first
machine of a Python pays for it.
"""

from pathlib import Path

from tests.harness import cache, tools, wheels
from tests.harness.machine import Bind

LOCKS = [tools.PROJECT / "requirements" / name for name in ("base.txt", "aws.txt")]
TOOL_CACHE = "/opt/tool-cache"
DATA = "/root/.local/share/nix-autocache"
CLI = ("python3", "-sP", "-m", "nix_autocache.cli.bootstrap")


def binds(data: Path | None = None) -> list[Bind]:
    """The binds of a machine; `data` is the host's directory for the embedded default's cache and key."""
    kept = [Bind(data, DATA, writable=True)] if data else []
    shared = cache.directory() / "tool-cache"
    shared.mkdir(parents=True, exist_ok=True)
    return [*tools.project(), wheels.wheelhouse(LOCKS).bind(), Bind(shared, TOOL_CACHE, writable=True), *kept]


def environment() -> dict[str, str]:
    return {
        "PYTHONPATH": f"{tools.TARGET}/src",
        "PYTHONPYCACHEPREFIX": f"{TOOL_CACHE}/nix-autocache/bytecode",
        "RUNNER_TOOL_CACHE": TOOL_CACHE,
        **wheels.wheelhouse(LOCKS).env(),
    }
