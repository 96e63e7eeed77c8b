"""A repository of no CI host, for tests of what `init` makes elsewhere: variables and secrets, in memory.

Also the flags of `init`, as tests give them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

from nix_autocache.onboarding.hosts import Place
from nix_autocache.onboarding.options import Options
from nix_autocache.onboarding.repository import Repository, Subject
from nix_autocache.onboarding.storage import Request

GITHUB = "token.actions.githubusercontent.com"
SUBJECT = Subject(
    issuer=GITHUB,
    audience="sts.amazonaws.com",
    subjects=("repo:acme@123456/project@456789:ref:refs/heads/main",),
    repository_id="456789",
)


@dataclass
class MemoryRepository:
    """`before` is called before each change."""

    name: str = "acme/project"
    default_branch: str = "main"
    is_public: bool = True
    its_subject: Subject = SUBJECT
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    before: Callable[[], None] = lambda: None

    def variable(self, name: str) -> str | None:
        return self.variables.get(name)

    def set_variable(self, name: str, value: str) -> None:
        self.before()
        self.variables[name] = value

    def remove_variable(self, name: str) -> None:
        if name in self.variables:
            self.before()
            del self.variables[name]

    def has_secret(self, name: str) -> bool:
        return name in self.secrets

    def set_secret(self, name: str, value: str) -> None:
        self.before()
        self.secrets[name] = value

    def remove_secret(self, name: str) -> None:
        if name in self.secrets:
            self.before()
            del self.secrets[name]

    def subject(self, branches: tuple[str, ...]) -> Subject:
        assert branches
        return self.its_subject


def options(**flags: object) -> Options:
    """Of these flags, and no others."""
    texts = ("repository", "host", "cache", "credentials", "key_name", "key_in", "branch", "action_ref", "rotate")
    given = {**dict.fromkeys(texts), **dict.fromkeys(("public", "new_key", "rotate_key", "undo"), False)}
    return Options.of_flags(SimpleNamespace(**{**given, **flags}))


def request(one: MemoryRepository, environ: Mapping[str, str], **flags: object) -> Request:
    place = Place("github", "https://github.com", one.name)
    return Request(options=options(**flags), place=place, repository=cast("Repository", one), environ=environ)
