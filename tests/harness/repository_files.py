"""The files of a repository, in memory, for what `init` writes from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RepositoryFiles:
    """Texts by path, all on the default branch."""

    files: Mapping[str, str] = field(default_factory=dict)
    default_branch: str = "main"

    def names(self) -> frozenset[str]:
        return frozenset(self.files)

    def read(self, path: str, branch: str = "") -> str | None:
        assert not branch, "nothing is made from another branch"
        return self.files.get(path)
