"""PUT files one after the other on one socket: `bare_puts.py PORT FOLDER COUNT BYTES`. Prints the seconds.

What a chain of references takes at least, since each narinfo waits for the one before.
"""

import socket
import sys
import time

port, folder, count, size = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
opened = socket.create_connection(("127.0.0.1", port))
opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
answers = opened.makefile("rb")
begun = time.monotonic()
for number in range(count):
    head = f"PUT {folder}/bare-{number} HTTP/1.1\r\nHost: here\r\nContent-Length: {size}\r\n\r\n"
    opened.sendall(head.encode() + b"x" * size)
    assert answers.readline().split()[1].startswith(b"2")
    length = 0
    while line := answers.readline().strip():
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    answers.read(length)
print(time.monotonic() - begun)
