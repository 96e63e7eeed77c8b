"""Store URLs that are refused."""

import pytest

from nix_autocache.errors import InputError
from nix_autocache.nix.store_url import parse_cache_url


def refusal(text: str) -> str:
    """The one line that refuses this URL as `cache`."""
    with pytest.raises(InputError) as caught:
        parse_cache_url(text)
    said = str(caught.value)
    assert said.startswith("cache: ")
    assert "\n" not in said
    return said
