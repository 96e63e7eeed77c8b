"""Store URLs: one URL names one place, for us and for every Nix."""

import random
from pathlib import Path

import pytest

from nix_autocache.nix.store_url import of_directory, parse_cache_url
from tests.harness.urls import refusal


def test_a_url_keeps_its_parameters_and_tells_nix_only_what_a_reader_needs() -> None:
    url = parse_cache_url(
        "s3://bucket/prefix?region=eu-west-1&endpoint=http://127.0.0.1:9000&compression=xz&priority=7"
    )
    assert str(url).endswith("compression=xz&priority=7")
    assert url.substituter == "s3://bucket/prefix?region=eu-west-1&endpoint=http://127.0.0.1:9000&priority=7"
    assert url.reading_query == "?priority=7"


@pytest.mark.parametrize(
    "text", ["bucket", "s3://", "file://host/dir", "file://dir", "file:///", "http:/x", "://x", ""]
)
def test_what_is_no_url_is_refused(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        *("file:///tmp/a\nfile:///tmp/b", "file:///tmp/a file:///tmp/b", "/tmp/a /tmp/b", "/tmp/a\t/tmp/b"),
        *("s3://a,s3://b", "s3://a;s3://b", "s3://a?priority=1 s3://b", "s3://a?region=x,s3://b?region=y", "/a\r\n/b"),
        *("https://a.example.org https://b.example.org", "/tmp/a, file:///tmp/b", "file:///a\u2028file:///b"),
    ],
)
def test_two_caches_in_one_input_are_refused(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/w/my cache", "/w/my cache"),
        ("file:///w/my%20cache", "/w/my cache"),
        ("file:///w/my cache/", "/w/my cache"),
        ("/w/Zwischenablage-ü", "/w/Zwischenablage-ü"),
        ("file:///w/%C3%BC", "/w/ü"),
        ("/w/100%", "/w/100%"),
        ("/w/a#b", "/w/a#b"),
        ("/w/[x]{y}|z^<>\\", "/w/[x]{y}|z^<>\\"),
    ],
)
def test_a_directory_that_not_every_nix_reads_alike_is_read_by_way_of_us(text: str, path: str) -> None:
    url = parse_cache_url(text)
    assert url.path == path
    assert url.wants_reader
    assert url.substituter.isascii()
    assert not set(" #[]{}|^<>\\") & set(url.substituter)


def test_a_path_on_a_server_is_asked_for_as_it_stands() -> None:
    """Nix 2.26 asks for a blank where 2.8 and 2.34 ask for %20."""
    assert parse_cache_url("https://host/my cache").path == "/my%20cache"


def test_nix_reads_a_directory_with_usual_characters_by_itself() -> None:
    assert not parse_cache_url("file:///srv/a+b,c=d;e@f~g'h(i)!&*:$.-_").wants_reader


def test_a_url_is_the_same_after_it_was_written_and_read() -> None:
    letters = "abcü /%#?&=+:;,@!'()*[]{}|<>\\~$. "
    choose = random.Random(7)
    for _ in range(2000):
        path = "/" + "".join(choose.choices(letters, k=12)).strip(" /") + "x"
        url = of_directory(Path(path))
        again = parse_cache_url(str(url))
        assert (again.path, str(again)) == (url.path, str(url))


@pytest.mark.parametrize(
    "text",
    [
        *("https://[::1", "https://host:port", "https://host:99999", "https://host:0", "https://:80", "https://a b/c"),
        *("https://hö.example.org", "s3://key:secret@bucket", "s3://bucket:9000", "s3://a%20b", "http://u:p@ss@host"),
    ],
)
def test_a_host_or_bucket_that_cannot_be_is_refused(text: str) -> None:
    assert "secret" not in refusal(text)


def test_stores_that_only_nix_knows_keep_what_only_nix_knows() -> None:
    for text in ("local?root=/mnt", "daemon", "ssh-ng://me@host?remote-store=/x", "unix:///run/x.sock?root=/y", "auto"):
        assert str(parse_cache_url(text)) == text
    assert "trusted" in refusal("ssh-ng://host?trusted=2")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:s3cr3t@host/x", "https://…@host/x"),
        ("https://s3cr3t@host/x", "https://…@host/x"),
        ("https://s3cr3t:@host/x", "https://…@host/x"),
        ("https://s3cr3t-0123456789abc:x-oauth-basic@host/x", "https://…@host/x"),
        ("http://s3cr3t%2Fs3cr3t@host:80", "http://…@host:80"),
        ("ssh-ng://me@host", "ssh-ng://me@host"),
        ("ssh-ng://host?access-token=s3cr3t&remote-store=/x", "ssh-ng://host?access-token=…&remote-store=/x"),
        ("unix:///run/x?sas=s3cr3t&root=/y&sig=s3cr3t", "unix:///run/x?sas=…&root=/y&sig=…"),
        ("unix:///run/x?design=1&assign=2", "unix:///run/x?design=1&assign=2"),
    ],
)
def test_what_is_shown_of_a_url_has_no_secret(text: str, shown: str) -> None:
    url = parse_cache_url(text)
    assert url.without_secrets == shown
    assert all("s3cr3t" in secret or secret == "x-oauth-basic" for secret in url.secrets)
    assert bool(url.secrets) == ("s3cr3t" in text)


def test_a_secret_is_known_in_each_way_that_it_may_be_written() -> None:
    assert set(parse_cache_url("https://to%2Fken@host").secrets) == {"to%2Fken", "to/ken", "to%252Fken"}


@pytest.mark.parametrize("url", ["https://host/cache", "http://me:word@host", "s3://bucket", "gs://bucket", "az://box"])
def test_what_is_far_away_is_read_by_way_of_us(url: str) -> None:
    assert parse_cache_url(url).wants_reader


@pytest.mark.parametrize("url", ["ssh-ng://me:word@host/my%20store", "daemon", "https+other://host"])
def test_what_goes_through_nix_copy_is_never_read_by_us(url: str) -> None:
    assert not parse_cache_url(url).wants_reader
