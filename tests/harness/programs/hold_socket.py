"""Hold connections that say nothing, half a request, or ask for an endless flush: `hold_socket.py SOCKET COUNT`.

Prints `held` when it has them all, and keeps them.
"""

import signal
import socket
import sys

held = []
for number in range(int(sys.argv[2])):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(2)
    try:
        connection.connect(sys.argv[1])
        connection.sendall([b"", b'{"do": ', b'{"do": "flush", "seconds": 1e300}\n'][number % 3])
    except OSError:
        pass
    held.append(connection)
print("held", flush=True)
signal.pause()
