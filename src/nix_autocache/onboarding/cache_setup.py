"""What jobs must be told of a cache: what `init` puts into variables and writes into the workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..system.dataclass import dataclass

CACHE: Final = "NIX_CACHE"
PUBLIC_KEYS: Final = "NIX_CACHE_PUBLIC_KEYS"
ROLE: Final = "NIX_CACHE_ROLE"
SIGNING_KEY: Final = "NIX_SIGNING_KEY"
ACCESS_KEY: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
GOOGLE_KEY: Final = "GOOGLE_SERVICE_ACCOUNT_KEY"


@dataclass(frozen=True, kw_only=True)
class CacheSetup:
    """The inputs of the jobs. Without a `cache`, the one that the CI host keeps, and nothing else is set.

    `key_source` is the input `signing-key` where it is not the repository's secret NIX_SIGNING_KEY. `secrets` are the
    names of the repository's secrets that hold credentials; each becomes a variable of the same name in the step.
    """

    cache: str = ""
    public_keys: tuple[str, ...] = ()
    key_source: str = ""
    role: str = ""
    secrets: tuple[str, ...] = ()
    audience: str = "sts.amazonaws.com"
    branches: tuple[str, ...] = ()  # that may push

    @property
    def variables(self) -> Mapping[str, str]:
        """The repository's variables, by name."""
        given = {CACHE: self.cache, PUBLIC_KEYS: " ".join(self.public_keys), ROLE: self.role}
        return {name: value for name, value in given.items() if value}
