"""The errors that HTTP statuses stand for: try again, or never."""

import pytest

from nix_autocache.caches.http_status import status_error
from nix_autocache.errors import CacheBusy, CacheError, CredentialsError


@pytest.mark.parametrize("status", [0, 408, 409, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again(status: int) -> None:
    assert isinstance(status_error("s3://b", "x", status, "no", 3.0), CacheBusy)


@pytest.mark.parametrize("status", [301, 400, 404, 405, 411, 413, 414, 501, 507])
def test_what_stays_refused_is_not_asked_again(status: int) -> None:
    assert isinstance(status_error("s3://b", "x", status, "no", 0.0), CacheError)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_named_as_such(status: int) -> None:
    assert isinstance(status_error("s3://b", "x", status, "no", 0.0), CredentialsError)
