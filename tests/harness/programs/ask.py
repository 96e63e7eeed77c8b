"""Send requests to an uploader and print its answers: `ask.py SOCKET REQUEST…`."""

import socket
import sys

for request in sys.argv[2:]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(sys.argv[1])
        connection.sendall(request.encode() + b"\n")
        print(connection.makefile().read())
