"""The paths of a machine of its own, for tests that run in this process."""

from pathlib import Path

from nix_autocache.machine.paths import Paths


def paths_in(directory: Path) -> Paths:
    """Nothing is there yet, as on a machine that has seen no job of ours."""
    return Paths(
        state=directory / "var/lib/nix-autocache", nix_conf=directory / "etc/nix", roots=directory / "gcroots/ours"
    )
