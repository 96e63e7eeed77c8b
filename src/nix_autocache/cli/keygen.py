"""`nix-autocache keygen`: make a signing key."""

from __future__ import annotations

import sys

from ..nix import keys


def keygen(name: str) -> None:
    """Print a new secret key; its public half goes to standard error."""
    key = keys.generate(name)
    print(key)
    print(f"public key: {key.public}", file=sys.stderr)
