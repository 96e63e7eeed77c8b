"""The settings that Nix has in effect, as a stand-in for Nix prints them."""

from pathlib import Path

from nix_autocache.nix.effective import trusted_keys
from nix_autocache.nix.keys import generate
from nix_autocache.nix.store import Nix


def test_a_malformed_trusted_key_is_left_out(tmp_path: Path) -> None:
    """An uploader must start all the same; what Nix says of such a key is Nix's affair."""
    key = generate("good-1").public
    program = tmp_path / "nix"
    program.write_text(f"#!/bin/sh\necho 'trusted-public-keys = no-colon {key} short:AAAA'\n")
    program.chmod(0o755)
    assert trusted_keys(Nix(tmp_path)) == (key,)
