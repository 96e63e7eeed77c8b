import pytest

from nix_autocache.errors import InputError
from nix_autocache.onboarding.hosts import HOSTS, Place, connect, parse_remote


@pytest.mark.parametrize(
    ("url", "server", "name"),
    [
        ("git@github.com:acme/project.git", "https://github.com", "acme/project"),
        ("ssh://git@gitlab.example.org:2222/group/sub/project.git", "https://gitlab.example.org", "group/sub/project"),
        ("https://person:secret@github.com/acme/project/", "https://github.com", "acme/project"),
        ("https://git.example.org:8443/acme/project.git", "https://git.example.org:8443", "acme/project"),
        ("ssh://git@ssh.github.com:443/acme/project.git", "https://github.com", "acme/project"),
        ("git@altssh.gitlab.com:acme/sub/project.git", "https://gitlab.com", "acme/sub/project"),
        ("http://127.0.0.1:8080/acme/project.git", "http://127.0.0.1:8080", "acme/project"),
    ],
)
def test_a_remote_names_server_and_repository(url: str, server: str, name: str) -> None:
    assert parse_remote(url) == (server, name)


@pytest.mark.parametrize("url", ["/srv/git/project.git", "file:///srv/git/project.git"])
def test_a_remote_on_this_machine_is_on_no_host(url: str) -> None:
    with pytest.raises(InputError, match="no repository of a CI host; give --repository and --host"):
        parse_remote(url)


def test_a_port_that_is_no_number_is_one_line() -> None:
    with pytest.raises(InputError, match=r"is 'ssh://.*github\.com:acme/project', whose port is no number"):
        parse_remote("ssh://git@github.com:acme/project")


@pytest.mark.parametrize("host", HOSTS)
def test_no_token_is_sent_without_tls(host: str) -> None:
    environ = {"GH_TOKEN": "x", "GITLAB_TOKEN": "x"}
    with pytest.raises(InputError, match=r"^http://git\.example\.org: a token is sent over https only;"):
        connect(Place(host, "http://git.example.org", "acme/project"), environ)
