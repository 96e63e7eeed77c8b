"""Version 2 of the Actions cache's protocol: what is sent, and what becomes of answers that are odd."""

import base64
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from nix_autocache.caches.actions.opening import open_service
from nix_autocache.caches.actions.service import BLOCK, ActionsService
from nix_autocache.errors import CacheBusy, CacheError, CredentialsError, Error, ReadOnly
from tests.harness import scripted
from tests.harness.scripted import Answer, Scripted, as_json

TOKEN = "eyJhbGciOiJub25lIn0.c2VjcmV0LXRva2Vu.x"
VERSION = "0" * 64
LINK = "https://account.blob.core.windows.net/c/b?se=2026&sig=SECRET%2FSIGNATURE%3D"
FOUND = {"ok": True, "signed_download_url": LINK, "matched_key": "a/1"}


def service_of(server: Scripted) -> ActionsService:
    service = open_service(
        {
            "ACTIONS_RESULTS_URL": f"{server.url}/ignored/",
            "ACTIONS_CACHE_SERVICE_V2": "True",
            "ACTIONS_RUNTIME_TOKEN": TOKEN,
        },
        VERSION,
    )
    assert service
    return service


def test_an_entry_is_looked_for_by_all_keys() -> None:
    with scripted.in_thread(as_json(**FOUND), as_json(ok=False)) as server:
        service = service_of(server)
        found = service.find(["b/", "a/"])
        assert found
        assert (found.key, found.url) == ("a/1", LINK)
        assert service.find(["c/"]) is None
    asked = server.requests[0]
    assert asked.path == "/twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL"
    assert asked.json() == {"key": "b/", "restore_keys": ["b/", "a/"], "version": VERSION}
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"nix-autocache/\S+ \(\+https://github\.com/\S+\)", asked.headers["User-Agent"])


def test_the_link_stands_in_no_text_of_an_entry() -> None:
    with scripted.in_thread(as_json(**FOUND)) as server:
        assert "SECRET" not in repr(service_of(server).find(["a/"]))


def test_blocks_are_named_as_the_official_client_names_them() -> None:
    with scripted.in_thread(Answer()) as server:
        link = f"{server.url}/c/b?sp=cw&sig=x%2Fy"
        server.answers[:] = [as_json(ok=True, signed_upload_url=link), Answer(201)]
        upload = service_of(server).reserve("a/1")
        assert upload
        upload.put(BLOCK, b"last")
        upload.put(0, bytes(BLOCK))
        server.answers[:] = [Answer(201), as_json(ok=True, entry_id="7")]
        upload.finish(BLOCK + 4)
    create, last, first, listed, finalized = server.requests
    assert create.json() == {"key": "a/1", "version": VERSION}
    queries = [parse_qs(urlsplit(asked.path).query) for asked in (first, last)]
    assert all((query["comp"], query["sig"]) == (["block"], ["x/y"]) for query in queries)
    names = [base64.b64decode(query["blockid"][0]).decode() for query in queries]
    assert [name[36:] for name in names] == ["0" * 12, "0" * 11 + "1"]
    assert names[0][:36] == names[1][:36]
    assert {len(name) for name in names} == {48}
    assert re.findall("<Latest>(.*?)</Latest>", listed.body.decode()) == [query["blockid"][0] for query in queries]
    assert finalized.json() == {"key": "a/1", "size_bytes": str(BLOCK + 4), "version": VERSION}
    assert all("Authorization" not in asked.headers for asked in (last, first, listed))


@pytest.mark.parametrize(
    "answer",
    [
        as_json(409, code="already_exists", msg="cache entry with the same key, version, and scope already exists"),
        as_json(ok=False),
        as_json(ok=False, message="cache entry already exists"),
    ],
)
def test_a_taken_key_is_no_error(answer: Answer) -> None:
    with scripted.in_thread(answer) as server:
        assert service_of(server).reserve("a/1") is None


@pytest.mark.parametrize(
    "answer",
    [
        as_json(ok=False, message="cache write denied: token has no writable scopes"),
        as_json(403, code="permission_denied", msg="no"),
        as_json(403, code="resource_exhausted", msg="insufficient usage to create an entry"),
        as_json(429, code="resource_exhausted", msg="insufficient usage to create an entry"),
        Answer(403, b"<html>"),
    ],
)
def test_a_job_that_may_not_write_is_told_so(answer: Answer) -> None:
    with scripted.in_thread(answer) as server, pytest.raises(ReadOnly, match="cannot be written by this job"):
        service_of(server).reserve("a/1")


@pytest.mark.parametrize("status", [401, 403])
def test_a_job_that_may_not_read_is_told_so(status: int) -> None:
    answer = as_json(status, code="permission_denied", msg="cache read denied: token has no readable scopes")
    with scripted.in_thread(answer) as server, pytest.raises(CredentialsError, match="cache read denied"):
        service_of(server).find(["a/"])


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_says_how_long(status: int) -> None:
    with scripted.in_thread(as_json(status, {"Retry-After": "37"}, code="unavailable", msg="later")) as server:
        service = service_of(server)
        for ask in (lambda: service.find(["a/"]), lambda: service.reserve("a/1")):
            with pytest.raises(CacheBusy, match="later") as caught:
                ask()
            assert caught.value.retry_after == 37.0


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_service_in_trouble_is_asked_again(status: int) -> None:
    with scripted.in_thread(Answer(status, b"<html>bad gateway</html>")) as server, pytest.raises(CacheBusy):
        service_of(server).find(["a/"])


ODD = {
    "no JSON": Answer(200, b"<html>log in</html>"),
    "a list": Answer(200, b"[1]"),
    "nothing": Answer(200, b""),
    "deep": Answer(200, b"[" * 100_000),
    "no UTF-8": Answer(200, b'{"ok": "\xff"}'),
    "huge": Answer(200, b" " * (2 << 20)),
    "no link": as_json(ok=True, matched_key="a/1"),
    "a number": as_json(ok=True, matched_key="a/1", signed_download_url=7, signed_upload_url=7),
    "a file": as_json(ok=True, matched_key="a/1", signed_download_url="file:///x", signed_upload_url="file:///x"),
    "a line break": as_json(ok=True, matched_key="a/1", signed_download_url=f"{LINK}\r\nX: y", signed_upload_url="\n"),
    "no ASCII": as_json(
        ok=True, matched_key="a/1", signed_download_url="http://h/\u20ac", signed_upload_url="http://€"
    ),
    "no host": as_json(ok=True, matched_key="a/1", signed_download_url="http://[::1", signed_upload_url="http://[::1"),
    "a long name": as_json(
        ok=True, matched_key="a/1", signed_download_url=f"http://{'h' * 70}/", signed_upload_url=f"http://{'h' * 70}/"
    ),
    "gone": as_json(404, code="bad_route", msg="no handler for path"),
    "legacy": Answer(422, b"This legacy service is shutting down"),
    "elsewhere": Answer(307, b"", {"Location": "http://169.254.169.254/latest"}),
    "created": as_json(201, ok=True),
}


@pytest.mark.parametrize("odd", ODD)
def test_any_surprise_is_one_clear_error(odd: str) -> None:
    with scripted.in_thread(ODD[odd]) as server:
        service = service_of(server)
        for ask in (lambda: service.find(["a/"]), lambda: service.reserve("a/1")):
            with pytest.raises(CacheError) as caught:
                ask()
            assert str(caught.value).startswith("the Actions cache")
            assert len(str(caught.value).splitlines()) == 1
            assert len(str(caught.value)) < 500


@pytest.mark.parametrize("key", ["other", "", 7, None, "A/1"])
def test_an_entry_that_was_not_asked_for_is_not_used(key: object) -> None:
    answer = as_json(**{**FOUND, "matched_key": key})
    with scripted.in_thread(answer) as server, pytest.raises(CacheError, match="not asked for"):
        service_of(server).find(["a/"])


@pytest.mark.parametrize("status", [200, 400, 403, 429, 500])
def test_no_message_repeats_a_secret(status: int) -> None:
    said = f"denied for {TOKEN} at {LINK} and SIG=abcdef\r\n::error::x"
    with scripted.in_thread(as_json(status, ok=False, message=said, msg=said)) as server:
        service = service_of(server)
        messages = []
        for ask in (lambda: service.find(["a/"]), lambda: service.reserve("a/1")):
            try:
                ask()
            except Error as error:
                messages.append(str(error))
        assert messages
        for message in messages:
            assert not re.search(r"(?i)sig=|SECRET|c2VjcmV0|://|[\r\n]", message), message


def test_an_upload_that_is_not_known_yet_is_finished_later() -> None:
    with scripted.in_thread(Answer()) as server:
        link = as_json(ok=True, signed_upload_url=f"{server.url}/b?sig=x")
        unknown = as_json(404, code="not_found", msg="cache entry not found")
        server.answers[:] = [link, Answer(201), Answer(201), unknown]
        upload = service_of(server).reserve("a/1")
        assert upload
        upload.put(0, b"x")
        with pytest.raises(CacheBusy):
            upload.finish(1)
        server.answers[:] = [Answer(201), as_json(ok=True)]
        upload.finish(1)


def test_an_upload_whose_answer_was_lost_is_found() -> None:
    """The service says that it knows no such upload, since it has finished it."""
    with scripted.in_thread(Answer()) as server:
        link = as_json(ok=True, signed_upload_url=f"{server.url}/b?sig=x")
        server.answers[:] = [link, Answer(201), Answer(502)]
        upload = service_of(server).reserve("a/1")
        assert upload
        with pytest.raises(CacheBusy):
            upload.finish(1)
        server.answers[:] = [Answer(201), as_json(404, code="not_found"), as_json(**FOUND)]
        upload.finish(1)


@pytest.mark.parametrize(
    ("status", "kind"), [(403, CacheError), (404, CacheError), (400, CacheError), (503, CacheBusy)]
)
def test_a_block_that_is_refused_names_no_link(status: int, kind: type[Error]) -> None:
    with scripted.in_thread(Answer()) as server:
        server.answers[:] = [as_json(ok=True, signed_upload_url=f"{server.url}/b?sig=SECRET")]
        upload = service_of(server).reserve("a/1")
        assert upload
        server.answers[:] = [Answer(status, b"<Error>sig=SECRET</Error>")]
        with pytest.raises(kind) as caught:
            upload.put(0, b"x")
        assert "SECRET" not in str(caught.value)
        with pytest.raises(kind):
            upload.finish(1)
