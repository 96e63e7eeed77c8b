"""The commands of the job that `init` writes, for what a repository has."""

import pytest

from nix_autocache.onboarding import build_commands
from tests.harness.repository_files import RepositoryFiles

BUILD = "nix build --print-build-logs --no-link"
CHECK = "nix flake check --print-build-logs"


@pytest.mark.parametrize(
    ("files", "commands"),
    [
        ({"flake.nix": "{ outputs = { self, nixpkgs }: { packages.x86_64-linux.default = 1; }; }"}, (BUILD,)),
        ({"flake.nix": "packages = 1; checks = 2; devShells = 3;"}, (BUILD, CHECK, "nix develop --command true")),
        ({"flake.nix": "pkgs = nixpkgs.legacyPackages.x86_64-linux; overlays.default = 1;"}, (CHECK,)),
        ({"flake.nix": "packages = 1;", "default.nix": "", "shell.nix": ""}, (BUILD,)),
        ({"default.nix": ""}, ("nix-build --no-out-link",)),
        ({"default.nix": "", "shell.nix": ""}, ("nix-build --no-out-link", "nix-shell --run true")),
        ({"README.md": "nix-build"}, ()),
    ],
)
def test_what_is_built(files: dict[str, str], commands: tuple[str, ...]) -> None:
    assert build_commands.find(RepositoryFiles(files)).commands == commands


def test_a_nixpkgs_by_name_needs_a_path() -> None:
    assert build_commands.find(RepositoryFiles({"default.nix": "import <nixpkgs> {}"})).nix_path.startswith("nixpkgs=")
    assert build_commands.find(RepositoryFiles({"default.nix": "import ./nixpkgs {}"})).nix_path == ""
