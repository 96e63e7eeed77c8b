"""Ask an uploader for its status; print the length of its answer: `ask_status.py SOCKET`."""

import socket
import sys

with socket.socket(socket.AF_UNIX) as connection:
    connection.settimeout(5)
    connection.connect(sys.argv[1])
    try:
        connection.sendall(b'{"do": "status"}\n')
        print(len(connection.recv(1000)))
    except OSError:
        print(0)
