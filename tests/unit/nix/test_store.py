"""Store paths."""

import re

import pytest

from nix_autocache.nix.store import parse_store_path

HASH = "0123456789abcdfghijklmnpqrsvwxyz"


@pytest.mark.parametrize(
    "text", ["", "/nix/store", "/nix/store/", f"/tmp/{HASH}-a", f"/nix/store/{HASH}-a/bin", "/nix/store/short-a"]
)
def test_what_is_no_store_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_store_path(text, "/nix/store")
