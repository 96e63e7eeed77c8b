"""Prints every way that the product finds from the user who runs this to root, to Nix's store and to the uploader.

It runs inside a machine. Arguments: paths that the uploader works on, `cloud=NAME` for whose services it asks, and
`program=PATH` for what root found that it runs.
"""

import os
import sys
from pathlib import Path

from nix_autocache.machine import paths
from nix_autocache.nix.find import find_nix
from nix_autocache.trust import isolation

nix = find_nix(os.environ)
assert nix, "Debian's Nix is there"
kept = [Path(word) for word in sys.argv[1:] if "=" not in word]
clouds, programs = (
    [word.removeprefix(f"{kind}=") for word in sys.argv[1:] if word.startswith(f"{kind}=")]
    for kind in ("cloud", "program")
)
machine = paths.machine(os.environ)
found = isolation.of_machine(nix, machine.hook, machine.jobs, kept, programs)
ways = [*found, *isolation.of_credentials(clouds, os.environ)]
sys.stdout.writelines(f"{way}\n" for way in ways)
