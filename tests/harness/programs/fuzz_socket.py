"""Send a socket lines that are no requests, and replacements for one: `fuzz_socket.py SOCKET COUNT`.

Seeded, so that a failure can be repeated.
"""

import random
import socket
import sys

choice = random.Random(7)
shapes = [
    lambda: choice.randbytes(choice.randrange(1, 6000)),
    lambda: b"{" * choice.randrange(1, 4000) + b"\n",
    lambda: b"[" * 4000 + b"\n",
    lambda: b'{"do": "flush", "seconds": ' + choice.choice([b"NaN", b"-1", b"1e999", b'"x"', b"null", b"[]"]) + b"}\n",
    lambda: b'{"do": ' + choice.choice([b"null", b"17", b'"job"', b'{"do": 1}', b'"\\ud800"', b'"status"']) + b"}\n",
    lambda: choice.choice([b"\n", b"null\n", b"17\n", b'"stop"\n', b"[]\n", b"\0\n", b"\xff\xfe\n", b""]),
    lambda: b'{"do": "status"' + b" " * 100000,
]
for _ in range(int(sys.argv[2])):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0.2)
        connection.connect(sys.argv[1])
        try:
            connection.sendall(choice.choice(shapes)())
            if choice.random() < 0.3:
                connection.recv(100)
        except OSError:
            pass
