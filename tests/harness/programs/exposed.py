"""Prints every way that the product finds from the user who runs this to root, to Nix's store and to the uploader.

It runs inside a machine. Arguments: paths that the uploader works on, `cloud=NAME` for whose services it asks, and
`program=PATH` for what root found that it runs.
"""

import os
import sys
from pathlib import Path

from nix_autocache import isolation, places
from nix_autocache.nix.find import find_nix

nix = find_nix(os.environ)
assert nix, "Debian's Nix is there"
kept = [Path(word) for word in sys.argv[1:] if "=" not in word]
clouds, programs = (
    [word.removeprefix(f"{kind}=") for word in sys.argv[1:] if word.startswith(f"{kind}=")]
    for kind in ("cloud", "program")
)
found = isolation.of_machine(nix, places.machine(os.environ), kept, programs)
ways = [*found, *isolation.of_credentials(clouds, os.environ)]
sys.stdout.writelines(f"{way}\n" for way in ways)
