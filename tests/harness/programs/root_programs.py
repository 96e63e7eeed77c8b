"""Prints what the product finds that root runs, a path a line. It runs inside a machine."""

import sys

from nix_autocache.trust.programs import programs_of_root

sys.stdout.writelines(f"{path}\n" for path in programs_of_root())
