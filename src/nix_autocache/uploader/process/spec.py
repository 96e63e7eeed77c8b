"""What a job's background process does, in one value: it gets it as JSON on standard input, with all secrets."""

from __future__ import annotations

from collections.abc import Mapping

from ...system.dataclass import dataclass
from ..read_proxy.spec import ReadSpec
from ..spec import UploadSpec


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """A job that only pulls has nothing to `upload`; there is no `reading` where Nix reads the cache by itself."""

    upload: UploadSpec | None
    reading: ReadSpec | None

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables that its caches may need."""
        both = (self.upload, self.reading)
        return {name: value for each in both if each for name, value in each.access.environ.items()}
