"""JSON that others wrote: what ours looks like, and nothing that needs a deep stack."""

import pytest

from nix_autocache.system import flat_json


def test_what_is_flat_is_parsed() -> None:
    assert flat_json.parse(b'{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}


@pytest.mark.parametrize("text", [b"", b"[", b"\xff", b"[" * 100_000, b"[" * 101 + b"]" * 101, b'{"a":' * 100_000])
def test_anything_else_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        flat_json.parse(text)
