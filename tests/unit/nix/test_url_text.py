"""Texts that are no store URL: advice for what was meant, and no password in it."""

import pytest

from tests.harness.urls import refusal


@pytest.mark.parametrize(
    "text", ["file:///a%", "file:///a%2", "file:///a%zz", "file:///a%ff", "file:///a%00", "https://h/%"]
)
def test_what_is_badly_encoded_is_refused(text: str) -> None:
    refusal(text)


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
