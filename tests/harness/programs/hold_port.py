"""Open connections and never use them: `hold_port.py PORT COUNT`; prints `held` when it has that many."""

import resource
import socket
import sys
import time

port, count = int(sys.argv[1]), int(sys.argv[2])
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(2 * count, hard), hard))
held: list[socket.socket] = []
while True:
    try:
        connection = socket.create_connection(("127.0.0.1", port), 1)
        connection.sendall(b"GET /")
        held.append(connection)
    except OSError:
        time.sleep(0.05)
    if len(held) == count:
        print("held", flush=True)
    if len(held) > count:
        time.sleep(0.05)
