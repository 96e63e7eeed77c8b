"""Which protocol a job's Actions cache speaks, and what its cache-mode allows, as in GitHub's own client."""

from collections.abc import Mapping

import pytest

from nix_autocache.caches.actions.opening import open_service
from nix_autocache.errors import CacheError, ReadOnly
from tests.harness import scripted
from tests.harness.scripted import Answer, Scripted

VERSION = "0" * 64


def environ(server: Scripted, **more: str) -> dict[str, str]:
    urls = {"ACTIONS_RESULTS_URL": f"{server.url}/results/", "ACTIONS_CACHE_URL": f"{server.url}/legacy/"}
    return {"ACTIONS_RUNTIME_TOKEN": "token", "ACTIONS_CACHE_SERVICE_V2": "True", **urls, **more}


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({}, "/twirp/"),
        ({"GITHUB_SERVER_URL": "https://github.com"}, "/twirp/"),
        ({"GITHUB_SERVER_URL": "https://GitHub.com"}, "/twirp/"),
        ({"GITHUB_SERVER_URL": "https://acme.ghe.com"}, "/twirp/"),
        ({"GITHUB_SERVER_URL": "http://git.localhost:3000"}, "/twirp/"),
        ({"GITHUB_SERVER_URL": "https://github.acme.com"}, "/legacy/_apis/"),
        ({"GITHUB_SERVER_URL": "https://github.com.acme.com"}, "/legacy/_apis/"),
        ({"GITHUB_SERVER_URL": "http://[::1"}, "/legacy/_apis/"),
        ({"ACTIONS_CACHE_SERVICE_V2": ""}, "/legacy/_apis/"),
        ({"ACTIONS_CACHE_SERVICE_V2": "", "ACTIONS_CACHE_URL": ""}, "/results/_apis/"),
        ({"ACTIONS_CACHE_SERVICE_V2": "", "ACTIONS_RUNTIME_TOKEN": ""}, "/legacy/_apis/"),
    ],
)
def test_the_protocol_is_chosen_as_by_the_official_client(more: Mapping[str, str], path: str) -> None:
    with scripted.in_thread(Answer(404)) as server:
        service = open_service(environ(server, **more), VERSION)
        assert service
        with pytest.raises(CacheError):
            service.find(["a"])
        assert server.requests[0].path.startswith(path)


@pytest.mark.parametrize(
    "more",
    [
        {"ACTIONS_CACHE_MODE": "none"},
        {"ACTIONS_CACHE_MODE": " None "},
        {"ACTIONS_RUNTIME_TOKEN": ""},
        {"ACTIONS_RESULTS_URL": ""},
        {"ACTIONS_RESULTS_URL": "", "ACTIONS_CACHE_URL": "", "ACTIONS_CACHE_SERVICE_V2": ""},
    ],
)
def test_a_job_may_have_no_actions_cache(more: Mapping[str, str]) -> None:
    with scripted.in_thread(Answer(404)) as server:
        assert open_service(environ(server, **more), VERSION) is None
        assert server.requests == []


@pytest.mark.parametrize(
    "more",
    [
        {"ACTIONS_RESULTS_URL": "results"},
        {"ACTIONS_RESULTS_URL": "http://[::1/"},
        {"ACTIONS_RESULTS_URL": "http://host/€"},
        {"ACTIONS_RESULTS_URL": "http://host/a HTTP/1.1"},
        {"ACTIONS_RESULTS_URL": f"http://{'h' * 70}/"},
        {"ACTIONS_RUNTIME_TOKEN": "a\r\nHost: b"},
        {"ACTIONS_RUNTIME_TOKEN": "secret€"},
    ],
)
def test_variables_that_nobody_can_use_are_said(more: Mapping[str, str]) -> None:
    with scripted.in_thread(Answer(404)) as server, pytest.raises(CacheError, match=next(iter(more))) as caught:
        open_service(environ(server, **more), VERSION)
    assert next(iter(more.values())) not in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "reads", "writes"),
    [
        ("", True, True),
        ("read", True, False),
        ("write", True, True),
        ("write-only", False, True),
        ("WRITE-only ", False, True),
        ("what comes next year", True, True),
    ],
)
def test_a_mode_is_obeyed_without_a_request(mode: str, reads: bool, writes: bool) -> None:
    with scripted.in_thread(scripted.as_json(ok=False)) as server:
        service = open_service(environ(server, ACTIONS_CACHE_MODE=mode), VERSION)
        assert service
        assert service.find(["a"]) is None
        assert len(server.requests) == reads
        if writes:
            assert service.reserve("a") is None
        else:
            with pytest.raises(ReadOnly, match=mode):
                service.reserve("a")
        assert len(server.requests) == reads + writes


def test_connections_are_kept_until_they_are_closed() -> None:
    with scripted.in_thread(scripted.as_json(ok=False)) as server:
        service = open_service(environ(server), VERSION)
        assert service
        for _ in range(3):
            service.find(["a"])
        assert server.connections == 1
        service.close_connections()
        service.find(["a"])
        assert server.connections == 2


def test_certificates_that_cannot_be_read_are_said() -> None:
    with scripted.in_thread(Answer()) as server:
        more = {"ACTIONS_RESULTS_URL": "https://results.example.org/", "SSL_CERT_FILE": "/does/not/exist"}
        with pytest.raises(CacheError, match="certificates"):
            open_service(environ(server, **more), VERSION)
