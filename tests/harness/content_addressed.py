"""Content-addressed derivations, and the setting that Nix wants for them."""

from tests.harness.machine import Machine

FEATURE = "extra-experimental-features = ca-derivations\n"
FLOATING = '__contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256";'
# A chain of three, the second with two outputs and text that looks like a derivation's; then one whose own outputs are
# named before it is built.
EXPRESSION = rf"""
let
  sh = more: name: script: derivation ({{
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-ec" script ];
  }} // more);
  floating = {{ {FLOATING} }};
  one = sh floating "one" "echo one > $out";
  two = sh (floating // {{ outputs = [ "out" "dev" ]; text = "],[],[(\"out\",\"\\\\\")]"; }}) "two"
    "echo ${{one}} > $out; echo dev > $dev";
  three = sh floating "three" "echo ${{two}} ${{two.dev}} > $out";
in sh {{ }} "four" "echo ${{three}} > $out"
"""


def ready(machine: Machine) -> None:
    """Allows them, and writes the expression to /root/ca.nix."""
    machine.sh(f"echo '{FEATURE}' >>/etc/nix/nix.conf")
    machine.write("/root/ca.nix", EXPRESSION)
