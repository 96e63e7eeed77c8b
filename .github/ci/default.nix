# Two derivations that no cache has: `run` is that of a workflow.
{ run }:
let
  sh =
    name: script:
    derivation {
      inherit name;
      system = builtins.currentSystem;
      builder = "/bin/sh";
      args = [
        "-ec"
        script
      ];
    };
  dependency = sh "dependency" "echo ${run} > $out";
in
sh "result" "echo ${dependency} > $out"
