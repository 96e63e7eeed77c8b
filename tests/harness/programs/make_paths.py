"""Make files of zeros in the store and entries in a queue: `make_paths.py FIRST COUNT SIZE`.

Prints their registration for `nix-store --load-db`: a hundred thousand builds would take an hour.
"""

import hashlib
import os
import sys

from nix_autocache.nix import base32, nar

first, count, size = map(int, sys.argv[1:])
alphabet = "0123456789abcdfghijklmnpqrsvwxyz"
known = None
for number in range(first, first + count):
    name = "".join(alphabet[byte & 31] for byte in hashlib.sha256(b"%d" % number).digest()) + f"-path-{number}"
    path = f"/nix/store/{name}"
    with open(path, "w") as file:
        file.truncate(size)
    os.chmod(path, 0o444)
    if known is None:
        digest, length = hashlib.sha256(), 0
        for piece in nar.archive(path):
            digest.update(piece)
            length += len(piece)
        known = f"{base32.encode(digest.digest())}\n{length}"
    print(path, known, "", 0, sep="\n")
    with open(f"/root/new/{name}", "w") as entry:
        entry.write(f"{path}\n.\n")
