"""Prints every way that the product finds from the user who runs this to root, to Nix's store and to the uploader.

It runs inside a machine. Arguments: paths that the uploader works on, and `cloud=NAME` for whose services it asks.
"""

import os
import sys
from pathlib import Path

from nix_autocache import isolation, places
from nix_autocache.nix.find import find_nix

nix = find_nix(os.environ)
assert nix, "Debian's Nix is there"
kept = [Path(word) for word in sys.argv[1:] if "=" not in word]
clouds = [word.partition("=")[2] for word in sys.argv[1:] if "=" in word]
ways = [*isolation.of_machine(nix, places.machine(os.environ), kept), *isolation.of_credentials(clouds, os.environ)]
sys.stdout.writelines(f"{way}\n" for way in ways)
