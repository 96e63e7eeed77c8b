# A stand-in for nixpkgs: its Python is the machine's own, copied. See tests/harness/nix_image.py.
{ config, overlays }:
{
  python3 = derivation {
    name = "python3-3";
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ ./python.sh ];
  };
}
