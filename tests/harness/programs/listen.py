"""Listen on a socket: `listen.py PATH` or `listen.py ADDRESS PORT`."""

import signal
import socket
import sys

address = (sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 2 else sys.argv[1]
with socket.socket(socket.AF_INET if len(sys.argv) > 2 else socket.AF_UNIX) as server:
    server.bind(address)
    server.listen()
    signal.pause()
