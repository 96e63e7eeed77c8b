import os
from pathlib import Path

import pytest

from nix_autocache.onboarding import tokens
from nix_autocache.onboarding.tokens import Token
from tests.harness import gh

COMMAND = ("gh", "auth", "token", "--hostname", "github.com")
NAMES = ("GH_TOKEN", "GITHUB_TOKEN")


def signed_in(directory: Path) -> dict[str, str]:
    """The environment of a person who has the real gh, and is signed in on github.com."""
    directory.joinpath("hosts.yml").write_text("github.com:\n  oauth_token: gho_of-a-file\n  user: person\n")
    path = f"{gh.program().parent}{os.pathsep}{os.defpath}"
    return {"PATH": path, "HOME": str(directory), "GH_CONFIG_DIR": str(directory)}


def test_the_first_variable_that_is_set_is_taken() -> None:
    environ = {"GITHUB_TOKEN": "second", "GH_TOKEN": " first\n"}
    assert tokens.find(environ, NAMES, COMMAND) == Token("first", "GH_TOKEN")
    assert tokens.find({"GITHUB_TOKEN": "second", "GH_TOKEN": ""}, NAMES, COMMAND) == Token("second", "GITHUB_TOKEN")


@pytest.mark.slow
def test_without_a_variable_it_is_the_one_of_gh(tmp_path: Path) -> None:
    environ = signed_in(tmp_path)
    assert tokens.find(environ, NAMES, COMMAND) == Token("gho_of-a-file", "gh")


@pytest.mark.slow
def test_gh_has_none_for_another_server(tmp_path: Path) -> None:
    assert tokens.find(signed_in(tmp_path), NAMES, (*COMMAND[:-1], "github.example.org")) is None


def test_where_there_is_no_gh_there_is_no_token(tmp_path: Path) -> None:
    assert tokens.find({"PATH": str(tmp_path)}, NAMES, COMMAND) is None


def test_a_token_is_not_shown() -> None:
    assert "ghp" not in repr(Token("ghp_secret", "GH_TOKEN"))
