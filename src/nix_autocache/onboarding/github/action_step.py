"""Our step of a workflow: what `uses`, `with` and `env` say, for a cache as `init` made it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

from ...system.dataclass import dataclass
from ..cache_setup import CACHE, PUBLIC_KEYS, ROLE, SIGNING_KEY, CacheSetup

ACTION: Final = "nix-autocache/nix-autocache"
_AUDIENCE: Final = CacheSetup().audience
_PLAIN: Final = re.compile(r"[\w./-]+", re.ASCII)  # a branch whose name means nothing to an expression


@dataclass(frozen=True, kw_only=True)
class ActionStep:
    """Our step in each workflow. `branches` are those whose jobs may assume the role."""

    setup: CacheSetup
    commit: str
    branches: tuple[str, ...]

    @property
    def uses(self) -> str:
        return f"uses: {ACTION}@{self.commit}"

    def inputs(self, conf: Sequence[str] = (), check: str = "") -> tuple[str, ...]:
        """Lines of `with`, with lines for nix.conf and an expression for the input `check`."""
        lines = [*self._cache_inputs()]
        if conf:
            lines += ["extra-nix-conf: |", *(f"  {line}" for line in conf)]
        if check:
            lines.append(f"check: ${{{{ {check} }}}}")
        return tuple(lines)

    @property
    def environment(self) -> tuple[str, ...]:
        """Lines of `env`: the secrets with credentials, for this step only."""
        return tuple(f"{name}: ${{{{ secrets.{name} }}}}" for name in self.setup.secrets if name != SIGNING_KEY)

    def _cache_inputs(self) -> Iterator[str]:
        setup = self.setup
        if not setup.cache:
            return
        yield f"cache: ${{{{ vars.{CACHE} }}}}"
        yield f"public-keys: ${{{{ vars.{PUBLIC_KEYS} }}}}"
        yield f"signing-key: {setup.key_source or f'${{{{ secrets.{SIGNING_KEY} }}}}'}"
        if not setup.role:
            return
        if condition := self._may_push:
            yield "# AWS gives the role to these branches only; other jobs read the cache if it is public."
            yield f"push: ${{{{ ({condition}) && 'auto' || 'never' }}}}"
            yield f"aws-role: ${{{{ ({condition}) && vars.{ROLE} || '' }}}}"
        else:
            yield f"aws-role: ${{{{ vars.{ROLE} }}}}"
        if setup.audience != _AUDIENCE:
            yield f"oidc-audience: {setup.audience}"

    @property
    def _may_push(self) -> str:
        """An expression; empty if the name of a branch would mean something else in it."""
        refs = [f"refs/heads/{branch}" for branch in self.branches]
        if not refs or not all(map(_PLAIN.fullmatch, refs)):
            return ""
        if len(refs) == 1:
            return f"github.ref == '{refs[0]}'"
        return f"contains(fromJSON('{json.dumps(refs)}'), github.ref)"


def indented(column: int, key: str, lines: Sequence[str]) -> list[str]:
    """A mapping of a step as lines of the file, without line ends; nothing if it is empty."""
    if not lines:
        return []
    blanks = " " * column
    return [f"{blanks}{key}:", *(f"{blanks}  {line}".rstrip() for line in lines)]
