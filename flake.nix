# `nix run github:nix-autocache/nix-autocache -- --version`: the command line, with a Python and uv of nixpkgs. At its
# first run it installs its own packages from the locks with hashes, as in a job.
{
  description = "Automatic, signed binary caching of everything that Nix builds in CI";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      version = builtins.head (
        builtins.match ".*__version__ = \"([^\"]+)\".*" (builtins.readFile ./src/nix_autocache/__init__.py)
      );

      # The program with its locks. The commit is in what GitHub serves, but not in a repository of Git.
      program =
        pkgs:
        pkgs.runCommand "nix-autocache-program-${version}" { } ''
          mkdir $out
          cp -rL ${self}/src/nix_autocache $out
          chmod -R u+w $out
          ${lib.optionalString (self ? rev) "echo ${self.rev} > $out/nix_autocache/commit.txt"}
        '';

      command =
        pkgs:
        let
          # What only `init` needs.
          python = pkgs.python3.withPackages (packages: [
            packages.boto3
            packages.pygithub
            packages.python-gitlab
            packages.rich
          ]);
        in
        pkgs.writeShellScriptBin "nix-autocache" ''
          export PATH="''${PATH:+$PATH:}${pkgs.uv}/bin"
          export PYTHONPATH=${program pkgs} PYTHONUTF8=1
          exec ${python}/bin/python3 -sP -m nix_autocache.cli.bootstrap "$@"
        '';
    in
    {
      packages = lib.genAttrs systems (system: {
        default = command nixpkgs.legacyPackages.${system};
      });
      apps = lib.genAttrs systems (system: {
        default = {
          type = "app";
          program = "${self.packages.${system}.default}/bin/nix-autocache";
          meta.description = "Cache everything that Nix builds in a CI job";
        };
      });
    };
}
