"""Stores that Nix itself writes to."""

from pathlib import Path

import pytest

from nix_autocache.caches.nix_copy import NixCopy
from nix_autocache.errors import Error
from nix_autocache.nix.store import Nix, StorePath
from nix_autocache.nix.store_url import parse_cache_url

PATH = StorePath("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-a")


def test_what_nix_says_of_a_store_is_told_without_its_password(tmp_path: Path) -> None:
    nix = tmp_path / "nix"
    nix.write_text('#!/bin/sh\necho "error: cannot connect to $*" >&2\nexit 1\n')  # a Nix that repeats the URL
    nix.chmod(0o755)
    url = parse_cache_url("ssh-ng://me:s3cr%2Fet@host?token=t0ken-value")
    with pytest.raises(Error, match=r"nix copy: .*cannot connect to .*host") as caught:
        NixCopy(url, Nix(tmp_path), None).copy(PATH)
    assert "s3cr" not in str(caught.value)
    assert "t0ken-value" not in str(caught.value)
