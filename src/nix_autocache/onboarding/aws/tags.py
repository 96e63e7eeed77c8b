"""The tag of what `init` makes in AWS: its value is the repository that a thing was made for."""

from __future__ import annotations

from typing import Final

TAG: Final = "nix-autocache"


def tags(owner: str) -> list[dict[str, str]]:
    """The tags of what is made for a repository, as AWS's calls take them."""
    return [{"Key": TAG, "Value": owner}]


def owner_of(answer: list[dict[str, str]]) -> str:
    """The repository that a thing was made for, from its tags; empty if `init` did not make it."""
    return next((tag["Value"] for tag in answer if tag["Key"] == TAG), "")
