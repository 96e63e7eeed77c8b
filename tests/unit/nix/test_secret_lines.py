"""Which lines for nix.conf are secret, which server a token is sent to, and what everybody can read of both."""

import stat
from pathlib import Path

import pytest

from nix_autocache.ci.detect import detect
from nix_autocache.errors import InputError
from nix_autocache.nix.access_tokens import access_tokens, parse
from nix_autocache.nix.conf import NixConf
from nix_autocache.nix.secret_lines import is_secret, shown, split

SECRET = (
    "access-tokens = github.com=ghp_1",
    "extra-access-tokens = gitlab.com=PAT:1",
    "  access-tokens\t=  github.com=ghp_1  # mine",
    "access-tokens=github.com=ghp_1",
    "access-tokens github.com=ghp_1",
    "extra-substituters = https://a https://user:pw@host",
    "extra-substituters = https://token@host/path",
    "substituters = s3://bucket https://u:p/w@host",
    "flake-registry = https://x-access-token:t@github.com/it",
    "extra-substituters = https://account.blob.core.windows.net/c?sv=1&sig=abc",
    "extra-substituters = https://host?private_token=abc",
    "builders = ssh://builder:pw@host x86_64-linux",
    "impure-env = TOKEN=abc",
)
PUBLIC = (
    "",
    "max-jobs = 4",
    "extra-substituters = https://cache.example.org?priority=10",
    "extra-trusted-public-keys = cache.example.org-1:aWgkY9TScTgShzTS5yXH4ndFlgV8wbrT7QuMBJuIjsg=",
    "builders = ssh://builder@host x86_64-linux /root/.ssh/key ; ssh-ng://other@host",
    "netrc-file = /home/me/.netrc",
    "extra-substituters = s3://bucket?region=eu-west-1&profile=ci",
    "access-tokens =",
    "include other.conf",
)


def test_what_is_secret_is_known_in_every_form() -> None:
    assert [line for line in SECRET if not is_secret(line)] == []
    assert [line for line in PUBLIC if is_secret(line)] == []


def test_what_follows_about_a_setting_stays_behind_it_and_comments_go() -> None:
    lines = ["substituters = https://u:p@a", "max-jobs = 1 # access-tokens = x=y", "extra-substituters = b", "# t=1"]
    assert split(lines) == (["max-jobs = 1"], ["substituters = https://u:p@a", "extra-substituters = b"])


@pytest.mark.parametrize("line", SECRET)
def test_a_message_shows_the_setting_and_not_the_secret(line: str) -> None:
    text = shown(line, line)
    assert not [secret for secret in ("ghp_1", "PAT:1", "pw@", "token@", "p/w", "t@", "abc") if secret in text]
    assert line.split("=")[0].split()[0] in text


def test_nobody_else_can_read_a_secret_whatever_lay_there(tmp_path: Path) -> None:
    config = NixConf(tmp_path)
    config.secret_include.write_text("planted")
    config.secret_include.chmod(0o666)
    assert config.write(["max-jobs = 1", "extra-substituters = https://u:p@a"])
    assert not config.write(["max-jobs = 1", "extra-substituters = https://u:p@a"])
    assert "u:p" not in config.include.read_text()
    assert "u:p" in config.secret_include.read_text()
    assert stat.S_IMODE(config.secret_include.stat().st_mode) == 0o600
    assert config.write(["max-jobs = 1", "extra-substituters = https://u:other@a"])
    assert config.write(["max-jobs = 1"])
    assert not config.secret_include.exists()
    config.write(["extra-substituters = https://u:p@a"])
    config.remove()
    assert list(tmp_path.iterdir()) == []


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
