"""Make store paths without building them: `make_graph.py REGISTRATION < JSON`, a list of [name, bytes, [references]].

References are numbers of earlier paths. Content compresses to a third, as compiled code does. Prints the paths, one a
line, and writes what `nix-store --load-db` reads into REGISTRATION.
"""

import hashlib
import json
import os
import random
import sys

from nix_autocache.nix import base32, nar

ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"
BLOCK = 4096
PLAIN = b"mov eax, ebx; call function; ret\n" * (BLOCK * 2 // 3 // 33 + 1)
RANDOM = BLOCK // 3

paths: list[str] = []
with open(sys.argv[1], "w") as registration:
    for name, size, references in json.load(sys.stdin):
        generator = random.Random(name)
        path = "/nix/store/" + "".join(ALPHABET[byte & 31] for byte in hashlib.sha256(name.encode()).digest())
        path = f"{path}-{name}"
        refers = [paths[number] for number in references]
        with open(path, "wb") as file:
            file.write("\n".join([name, *refers, ""]).encode())
            for _ in range(max(1, size // BLOCK)):
                file.write((generator.randbytes(RANDOM) + PLAIN)[: min(size, BLOCK)])
        os.chmod(path, 0o444)
        os.utime(path, (1, 1))
        digest, length = hashlib.sha256(), 0
        for piece in nar.archive(path):
            digest.update(piece)
            length += len(piece)
        print(path, base32.encode(digest.digest()), length, "", len(refers), *refers, sep="\n", file=registration)
        paths.append(path)
print(*paths, sep="\n")
