"""The variables that the uploader gets."""

import os
from pathlib import Path

import pytest

from nix_autocache.caches.object_store import ObjectStoreCache
from nix_autocache.caches.opening import open_cache
from nix_autocache.caches.protocol import Access
from nix_autocache.nix.store import Nix
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.settings import forget_empty_credentials
from nix_autocache.uploader.environment import relevant_environment
from tests.harness import odd

VARIABLES = """
AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE AWS_REGION AWS_ENDPOINT_URL AWS_CONFIG_FILE
AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_ARN AZURE_STORAGE_ACCOUNT_KEY GOOGLE_APPLICATION_CREDENTIALS
"""
EMPTY = dict.fromkeys(VARIABLES.split(), "")


def test_a_variable_that_is_empty_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a secret that is not there, or an action that takes credentials away: the profile counts."""
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = AKFROMFILE\naws_secret_access_key = s\n")
    environ = {**EMPTY, "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "HOME": "/root"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    forget_empty_credentials(os.environ)
    assert not set(EMPTY) & set(os.environ)
    with odd.in_thread(tmp_path / "bucket") as server:
        url = parse_cache_url(f"s3://bucket?endpoint={server.url}")
        given = relevant_environment(environ, url.row)
        assert not set(EMPTY) & set(given)
        cache = open_cache(url, Access(given, Nix(Path("/")), None))
        assert isinstance(cache, ObjectStoreCache)
        cache.put("a", b"x", "")
        assert "Credential=AKFROMFILE/" in server.requests[-1].headers["authorization"]
