"""Parameters of store URLs: each has a type, and is read as Nix reads it."""

import pytest

from nix_autocache.nix.store_url import CacheUrl, parse_cache_url
from nix_autocache.schemes.table import SCHEMES
from tests.harness.urls import refusal


def test_every_parameter_has_a_type_and_without_a_value_is_refused_by_its_name() -> None:
    for name, row in SCHEMES.items():
        place = {"directory": "/srv/cache", "repository": ""}.get(row.address, "place")
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


def test_parameters_that_change_nothing_are_named() -> None:
    url: CacheUrl = parse_cache_url("s3://b?storage-class=STANDARD_IA&multipart-upload=true&buffer-size=5M")
    assert url.unused == ("storage-class",)
    assert url.substituter == "s3://b"
