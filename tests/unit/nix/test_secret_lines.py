"""Lines of nix.conf that hold secrets, and messages that show them without."""

import pytest

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
