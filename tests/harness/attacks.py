"""Files that attacks on a cache's content work with."""

from tests.harness import graphs, nix
from tests.harness.machine import Machine

EVIL = "/home/runner/evil"


def prepare(machine: Machine) -> None:
    """Writes an archive without a signature, a key of the attacker's, and a program."""
    slipped = nix.build(machine, graphs.leaf("slipped-in"))
    machine.sh(f"nix-store --export {slipped} >/tmp/archive; nix-store --delete {slipped}")
    machine.write("/tmp/slipped", slipped)
    machine.write("/tmp/leaf.nix", graphs.leaf("leaf"))
    machine.write(EVIL, "#!/bin/sh\nid >/tmp/evil-ran\n", mode=0o755)
    machine.sh("nix-store --generate-binary-cache-key other-1 ~/other-key ~/other-key.pub", user="runner")
