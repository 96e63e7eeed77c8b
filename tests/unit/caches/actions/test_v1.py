"""Version 1 of the Actions cache's protocol: what is sent, and what becomes of answers that are odd."""

from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest

from nix_autocache.caches.actions.opening import open_service
from nix_autocache.caches.actions.service import ActionsService
from nix_autocache.errors import CacheBusy, CacheError, CredentialsError, Error, ReadOnly
from tests.harness import scripted
from tests.harness.scripted import Answer, Scripted, as_json

VERSION = "0" * 64
LINK = "https://cache.example.org/x?sig=SECRET"


def service_of(server: Scripted, token: str = "runtime-token") -> ActionsService:
    url = f"{server.url}/path-with-a-secret/"
    service = open_service({"ACTIONS_CACHE_URL": url, "ACTIONS_RUNTIME_TOKEN": token}, VERSION)
    assert service
    return service


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (LINK, LINK),
        ("/artifacts/7", "{server}/artifacts/7"),
        ("artifacts/7?sig=x", "{server}/path-with-a-secret/artifacts/7?sig=x"),
        ("//cache.example.org/x", "http://cache.example.org/x"),
    ],
)
def test_a_link_may_be_absolute_or_relative(location: str, path: str) -> None:
    with scripted.in_thread(as_json(archiveLocation=location, cacheKey="a/1"), Answer(204)) as server:
        service = service_of(server)
        found = service.find(["b/", "a/"])
        assert found
        assert (found.key, found.url) == ("a/1", path.replace("{server}", server.url))
        assert service.find(["c/"]) is None
    asked = server.requests[0]
    assert urlsplit(asked.path).path == "/path-with-a-secret/_apis/artifactcache/cache"
    assert parse_qs(urlsplit(asked.path).query) == {"keys": ["b/,a/"], "version": [VERSION]}
    assert asked.headers["Accept"] == "application/json;api-version=6.0-preview.1"
    assert asked.headers["Authorization"] == "Bearer runtime-token"


def test_an_entry_is_written_at_offsets() -> None:
    with scripted.in_thread(as_json(201, cacheId=7), Answer(204)) as server:
        upload = service_of(server, token="").reserve("a/1")
        assert upload
        upload.put(0, b"abc")
        upload.finish(3)
    reserved, patched, finished = server.requests
    assert reserved.json() == {"key": "a/1", "version": VERSION}
    assert (patched.method, patched.headers["Content-Range"], patched.body) == ("PATCH", "bytes 0-2/*", b"abc")
    assert finished.json() == {"size": 3}
    assert {asked.path.rpartition("caches")[2] for asked in (patched, finished)} == {"/7"}
    assert not any("Authorization" in asked.headers for asked in server.requests)


def test_a_taken_key_is_no_error() -> None:
    with scripted.in_thread(as_json(409, message="Cache already exists")) as server:
        assert service_of(server).reserve("a/1") is None


@pytest.mark.parametrize("answer", [Answer(403), as_json(400, message="cache write denied: read-only")])
def test_a_job_that_may_not_write_is_told_so(answer: Answer) -> None:
    with scripted.in_thread(answer) as server, pytest.raises(ReadOnly):
        service_of(server).reserve("a/1")


def test_a_job_that_may_not_read_is_told_so() -> None:
    with scripted.in_thread(as_json(401, message="cache read denied: no")) as server, pytest.raises(CredentialsError):
        service_of(server).find(["a/"])


ODD = {
    "no JSON": Answer(200, b"<html>log in</html>"),
    "no fields": as_json(),
    "no link": as_json(cacheKey="a/1"),
    "a number": as_json(cacheKey="a/1", archiveLocation=7, cacheId="7"),
    "a truth": as_json(cacheKey="a/1", archiveLocation=True, cacheId=True),
    "negative": as_json(cacheKey="a/1", archiveLocation="", cacheId=-1),
    "a file": as_json(cacheKey="a/1", archiveLocation="file:///etc/passwd", cacheId=1.5),
    "half an address": as_json(cacheKey="a/1", archiveLocation="http://[::1"),
    "legacy": Answer(422, b"This legacy service is shutting down"),
    "gone": Answer(404, b"not found"),
}


@pytest.mark.parametrize("odd", ODD)
def test_any_surprise_is_one_clear_error(odd: str) -> None:
    with scripted.in_thread(ODD[odd]) as server:
        service = service_of(server)
        for ask in (lambda: service.find(["a/"]), lambda: service.reserve("a/1")):
            with pytest.raises(CacheError) as caught:
                ask()
            assert str(caught.value).startswith("the Actions cache")


@pytest.mark.parametrize("status", [400, 403, 500])
def test_no_message_repeats_a_secret(status: int) -> None:
    said = "no runtime-token at /path-with-a-secret/_apis for SIG=abcdef"
    with scripted.in_thread(as_json(201, cacheId=7), as_json(status, message=said)) as server:
        service = service_of(server)
        upload = service.reserve("a/1")
        assert upload
        asks = (partial(upload.put, 0, b"x"), partial(upload.finish, 1), partial(service.find, ["a/"]))
        for ask in asks:
            with pytest.raises(Error) as caught:
                ask()
            assert not any(word in str(caught.value) for word in ("runtime-token", "a-secret", "SIG=", "://"))


def test_an_upload_that_was_finished_already_is_found() -> None:
    """A connection that breaks at the answer is opened again, and the request sent again: act then says 400."""
    found = as_json(archiveLocation=LINK, cacheKey="a/1")
    with scripted.in_thread(as_json(201, cacheId=7), Answer(400), found) as server:
        upload = service_of(server).reserve("a/1")
        assert upload
        upload.finish(1)


def test_an_upload_whose_answer_was_lost_is_found() -> None:
    with scripted.in_thread(as_json(201, cacheId=7), Answer(502)) as server:
        upload = service_of(server).reserve("a/1")
        assert upload
        with pytest.raises(CacheBusy):
            upload.finish(1)
        server.answers[:] = [Answer(404), as_json(archiveLocation=LINK, cacheKey="a/1")]
        upload.finish(1)
        server.answers[:] = [Answer(404), as_json(archiveLocation=LINK, cacheKey="a/10")]
        with pytest.raises(CacheError):
            upload.finish(1)
