"""Store URLs: every parameter has a type, and one URL is one place for us and for every Nix."""

import random
from pathlib import Path

import pytest

from nix_autocache.errors import InputError
from nix_autocache.nix.store_url import CacheUrl, of_directory, parse_cache_url
from nix_autocache.schemes.table import SCHEMES


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_cache_url(text)
    said = str(caught.value)
    assert said.startswith("cache: ")
    assert "\n" not in said
    return said


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


def test_every_parameter_has_a_type_and_without_a_value_is_refused_by_its_name() -> None:
    for name, row in SCHEMES.items():
        place = "/srv/cache" if name == "file" else "place"
        for parameter in row.parameters:
            assert parameter in refusal(f"{name}://{place}?{parameter}=")
            assert parameter in refusal(f"{name}://{place}?{parameter}")


@pytest.mark.parametrize(
    "parameter",
    [
        *("priority=abc", "priority=1.5", "priority=1e3", "priority=٣", "priority=+5", "priority=99999999999"),
        *(
            "priority=10%20",
            "priority=%0A10",
            "trusted=maybe",
            "trusted=TRUE",
            "want-mass-query=2",
            "want-mass-query=on",
        ),
        *("parallel-compression=2", "write-nar-listing=y", "compression=brotli", "compression-level=23"),
        *("compression-level=-2", "path-info-cache-size=many", "local-nar-cache=relative"),
    ],
)
def test_a_wrong_value_is_refused_by_its_parameters_name(parameter: str) -> None:
    for place in ("file:///srv/cache", "s3://bucket", "https://cache.example.org", "gs://bucket", "az://container"):
        assert parameter.partition("=")[0] in refusal(f"{place}?{parameter}") or "control character" in refusal(
            f"{place}?{parameter}"
        )


@pytest.mark.parametrize(
    "parameter",
    [
        *("region=eu west 1", "region=eu-west-1%0a", "endpoint=ftp://host", "endpoint=http://", "endpoint=a,b"),
        *("scheme=ftp", "addressing-style=virtual-hosted", "multipart-upload=maybe", "multipart-threshold=100MB"),
    ],
)
def test_a_wrong_parameter_of_s3_is_refused(parameter: str) -> None:
    refusal(f"s3://bucket?{parameter}")


@pytest.mark.parametrize(
    ("parameter", "advice"),
    [
        ("regoin=x", "did you mean region?"),
        ("foo=1", "known are"),
        ("priority=1&priority=2", "priority is given twice"),
    ],
)
def test_a_parameter_that_is_unknown_or_given_twice_is_refused(parameter: str, advice: str) -> None:
    assert advice in refusal(f"s3://bucket?{parameter}")


@pytest.mark.parametrize(("written", "value"), [("true", 1), ("yes", 1), ("1", 1), ("false", 0), ("no", 0), ("0", 0)])
def test_booleans_are_nixs(written: str, value: int) -> None:
    assert parse_cache_url(f"file:///a?want-mass-query={written}").boolean("want-mass-query", default=True) == value


def test_a_plus_is_no_blank_as_for_nix() -> None:
    assert parse_cache_url("file:///a?system-features=a+b").params["system-features"] == "a+b"
    url = parse_cache_url("s3://b?profile=my%20own")
    assert url.params["profile"] == "my own"
    assert str(url) == "s3://b?profile=my%20own"


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
    assert url.needs_reader
    assert url.substituter.isascii()
    assert not set(" #[]{}|^<>\\") & set(url.substituter)


def test_a_path_on_a_server_that_not_every_nix_asks_for_alike_is_read_by_way_of_us() -> None:
    """Nix 2.26 asks for a blank where 2.8 and 2.34 ask for %20; what goes through `nix copy` is never read by us."""
    assert parse_cache_url("https://host/my%20cache").needs_reader
    assert parse_cache_url("https://host/my cache").path == "/my%20cache"
    assert not parse_cache_url("https://host/a+b").needs_reader
    assert not parse_cache_url("ssh-ng://me:word@host/my%20store").needs_reader


def test_nix_reads_a_directory_with_usual_characters_by_itself() -> None:
    assert not parse_cache_url("file:///srv/a+b,c=d;e@f~g'h(i)!&*:$.-_").needs_reader


def test_a_url_is_the_same_after_it_was_written_and_read() -> None:
    letters = "abcü /%#?&=+:;,@!'()*[]{}|<>\\~$. "
    choose = random.Random(7)
    for _ in range(2000):
        path = "/" + "".join(choose.choices(letters, k=12)).strip(" /") + "x"
        url = of_directory(Path(path))
        again = parse_cache_url(str(url))
        assert (again.path, str(again)) == (url.path, str(url))


@pytest.mark.parametrize(
    "text", ["file:///a%", "file:///a%2", "file:///a%zz", "file:///a%ff", "file:///a%00", "https://h/%"]
)
def test_what_is_badly_encoded_is_refused(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        *("https://[::1", "https://host:port", "https://host:99999", "https://host:0", "https://:80", "https://a b/c"),
        *("https://hö.example.org", "s3://key:secret@bucket", "s3://bucket:9000", "s3://a%20b", "http://u:p@ss@host"),
    ],
)
def test_a_host_or_bucket_that_cannot_be_is_refused(text: str) -> None:
    assert "secret" not in refusal(text)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("cache.example.org", "https://cache.example.org"),
        ("cache.example.org:8080/nix", "https://cache.example.org:8080/nix"),
        ("arn:aws:s3:::my-bucket", "s3://my-bucket"),
        ("arn:aws-us-gov:s3:::my-bucket/*", "s3://my-bucket"),
        ("s3:bucket", "two slashes"),
        ("my-bucket", "s3://bucket?region="),
        ("s3://b?secret-key=/k", "signing-key"),
    ],
)
def test_what_people_give_instead_of_a_url_is_answered_with_what_they_meant(text: str, advice: str) -> None:
    assert advice in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://me:s3cr#t@host/x",
        "me:s3cr@host",
        "https://me:s3cr@ho st",
        "https://me:s3cr@host?priority=",
        "ftp//me:s3cr@h",
        "https:/s3cr@host",
        "https//s3cr@host?token=s3cr",
        "https://host?token=s3cr",
        "s3://s3cr:s3cr@bucket",
        "az://container?sas=s3cr",
        "s3://bucket?endpoint=http://me:s3cr@host",
        "http://me:12?s3cr@host",
        "http://me:12?x&s3cr@host=1",
    ],
)
def test_no_password_is_repeated(text: str) -> None:
    assert "s3cr" not in refusal(text)


def test_stores_that_only_nix_knows_keep_what_only_nix_knows() -> None:
    for text in ("local?root=/mnt", "daemon", "ssh-ng://me@host?remote-store=/x", "unix:///run/x.sock?root=/y", "auto"):
        assert str(parse_cache_url(text)) == text
    assert "trusted" in refusal("ssh-ng://host?trusted=2")


def test_parameters_that_change_nothing_are_named() -> None:
    url: CacheUrl = parse_cache_url("s3://b?storage-class=STANDARD_IA&multipart-upload=true&buffer-size=5M")
    assert url.unused == ("storage-class",)
    assert url.substituter == "s3://b"


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
