"""Access tokens, and the server that each is sent to."""

import pytest

from nix_autocache.ci.detect import detect
from nix_autocache.errors import InputError
from nix_autocache.nix.access_tokens import access_tokens, parse


@pytest.mark.parametrize(
    ("server", "api", "sent_to"),
    [
        ("", "", "github.com"),
        ("https://github.com", "https://api.github.com", "github.com"),
        ("HTTPS://GitHub.com:443/", "", "github.com"),
        ("https://git.example.com", "https://git.example.com/api/v3", "git.example.com"),
        ("https://git.example.com/", "", "git.example.com"),
        ("https://Git.Example.com:8443", "", "git.example.com:8443"),
        ("http://localhost:3000/gitea/", "http://localhost:3000/gitea/api/v1", "localhost:3000"),
        ("http://git.example.com:80", "", "git.example.com"),
        ("https://codeberg.org", "https://codeberg.org/api/v1", "codeberg.org"),
        ("https://acme.ghe.com", "https://api.acme.ghe.com", "acme.ghe.com"),
        ("https://github.com", "https://git.example.com/api/v3", "git.example.com"),
        ("", "https://git.example.com/api/v3/", "git.example.com"),
        ("git.example.com", "", "git.example.com"),
        ("https://user:pw@git.example.com:444/", "", "git.example.com:444"),
        ("http://[::1]:3000", "", "[::1]:3000"),
        ("https://github.com.example.org", "", "github.com.example.org"),
        ("https://github.com@evil.example.org", "", "evil.example.org"),
    ],
)
def test_a_token_goes_to_the_server_that_it_is_from(server: str, api: str, sent_to: str) -> None:
    host = detect({"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": server, "GITHUB_API_URL": api})
    assert access_tokens("ghs_1", host.token_server()) == f"{sent_to}=ghs_1"
    assert access_tokens("github.com=ghp_1 a.b:3=2", host.token_server()) == "github.com=ghp_1 a.b:3=2"


def test_a_token_is_one_word_or_has_its_host() -> None:
    assert access_tokens("eyJ.abc.sig==", "github.com") == "github.com=eyJ.abc.sig=="
    assert parse("a.example=1\n b.example=2", "github-token") == "a.example=1 b.example=2"
    with pytest.raises(InputError, match="github-token: 2 words are not one token") as raised:
        parse("ghp_secret\npost-build-hook = x".replace(" = ", "="), "github-token")
    assert "ghp_secret" not in str(raised.value)
