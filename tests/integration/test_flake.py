"""`nix run` of the flake, with a stand-in for nixpkgs whose programs are links to those of the machine."""

from nix_autocache import __version__
from tests.conftest import MakeMachine
from tests.harness import act, nix, product, tools
from tests.harness.machine import Bind
from tests.harness.roots import NEW

NIXPKGS = """{ outputs = _:
let
  sh = name: script: derivation {
    inherit name script; system = "x86_64-linux"; builder = "/bin/sh"; passAsFile = [ "script" ];
    args = [ "-ec" "PATH=/usr/bin:/bin; . $scriptPath" ];
  };
  linked = program: sh "linked" "mkdir -p $out/bin; ln -s ${program} $out/bin";
in {
  lib.genAttrs = names: f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) names);
  lib.optionalString = condition: text: if condition then text else "";
  legacyPackages.x86_64-linux = {
    python3.withPackages = choose:
      builtins.seq (choose { boto3 = 0; pygithub = 0; python-gitlab = 0; rich = 0; }) (linked "/usr/bin/python3");
    uv = linked "/usr/local/bin/uv";
    runCommand = name: _: sh name;
    writeShellScriptBin = name: text:
      sh name "mkdir -p $out/bin; cat >$out/bin/${name} <<'=end='\\n#!/bin/sh\\n${text}\\n=end=\\nchmod +x $out/bin/*";
  };
}; }
"""
OPTIONS = "--no-sandbox --no-write-lock-file --option flake-registry '' --override-input nixpkgs path:/nixpkgs"


def test_nix_run_runs_the_command_of_that_commit(machine: MakeMachine) -> None:
    """From a tree as GitHub serves it."""
    uv = Bind(tools.program("uv"), "/usr/local/bin/uv")
    one = machine(NEW, [*product.binds(), uv])
    nix.without_daemon(one)
    one.write("/nixpkgs/flake.nix", NIXPKGS)
    one.sh(f"mkdir /git /flake; cd {tools.TARGET}; cp -r .gitattributes flake.nix requirements src /git")
    git = "git init -q; git add .; git commit -qm one; git archive HEAD | tar -x -C /flake; git rev-parse HEAD"
    commit = one.sh(git, env=act.AUTHOR, cwd="/git").stdout
    env = {name: value for name, value in product.environment().items() if not name.startswith("PYTHON")}
    done = one.sh(f"nix run {OPTIONS} path:/flake -- --version", env=env)
    assert done.stdout == f"nix-autocache {__version__} ({commit[:12]})\n", done.stderr
    systems = one.sh(f"nix eval --json {OPTIONS} path:/flake#apps --apply builtins.attrNames").stdout
    assert "aarch64-darwin" in systems
