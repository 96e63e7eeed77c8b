"""Branches, commits and trees of a repository, as much as a fake of a CI host needs of git."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

Files = Mapping[str, str]


@dataclass(frozen=True)
class Commit:
    message: str
    files: Files
    parents: tuple[str, ...] = ()

    @property
    def sha(self) -> str:
        return sha(repr((self.message, sorted(self.files.items()), self.parents)))


@dataclass
class GitState:
    """A repository; without a commit at first."""

    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    trees: dict[str, Files] = field(default_factory=dict)

    def push(self, files: Files, branch: str = "main", message: str = "a person's commit") -> None:
        """A commit on top of a branch, which is made of `main` if it is new."""
        parent = self.branches.get(branch) or self.branches.get("main")
        before = self.commits[parent].files if parent else {}
        self.branches[branch] = self.keep(Commit(message, {**before, **files}, (parent,) if parent else ()))

    def files(self, branch: str = "main") -> Files:
        return self.commits[self.branches[branch]].files

    def line(self, sha: str) -> list[str]:
        """A commit and what it descends from, the newest first."""
        found, here = [], sha
        while here:
            found.append(here)
            here = next(iter(self.commits[here].parents), "")
        return found

    def keep(self, commit: Commit) -> str:
        self.commits[commit.sha] = commit
        return commit.sha

    def tree(self, files: Files) -> str:
        name = sha(repr(sorted(files.items())))
        self.trees[name] = files
        return name

    def seen(self) -> dict[str, tuple[Files, int]]:
        """What a user sees of it: of each branch the files and the number of commits."""
        return {name: (self.files(name), len(self.line(sha))) for name, sha in self.branches.items()}


def sha(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()
