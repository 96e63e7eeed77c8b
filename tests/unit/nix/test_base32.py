"""Nix's base 32."""

import hashlib

from nix_autocache.nix import base32


def test_base32_is_nixs_own() -> None:
    """sha256 of the empty string, as `nix-hash --type sha256 --base32` prints it."""
    assert base32.encode(hashlib.sha256(b"").digest()) == "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"
