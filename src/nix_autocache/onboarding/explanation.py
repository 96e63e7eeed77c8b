"""What a pull request of `init` says of the four limitations of `nix copy` at the end of a job (docs/trust.md)."""

from __future__ import annotations

from collections.abc import Iterable

from .cache_setup import CacheSetup

_HEAD = """\
| limitation of `nix copy` at the end of a job | solved by this |
|---|---|
| 1. You must know every dependency to push it; what scripts, import from derivation and nested shells build is \
forgotten | yes: everything that Nix builds is pushed |
| 2. A failed build loses its finished dependencies | yes: each is pushed when it is built |
| 3. Every pipeline needs code that uploads | yes: there is none |
| 4. Whoever can change the pipeline can take the signing key or poison the cache | {fourth} |
"""


def limitations(setup: CacheSetup, fourth: str) -> str:
    """A table in Markdown. `fourth` says how a job with a signing key solves the last one on this host."""
    if not setup.cache:
        fourth = (
            "in part: there is no key to take, and a branch cannot write what others read; but whoever can change the "
            "default branch's jobs can poison its cache"
        )
    return _HEAD.format(fourth=fourth)


def listed(title: str, lines: Iterable[str]) -> str:
    """A list below a heading, in Markdown; nothing without lines."""
    items = "".join(f"- {line}\n" for line in lines)
    return f"### {title}\n\n{items}" if items else ""
