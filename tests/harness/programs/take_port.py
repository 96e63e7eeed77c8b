"""Take a port of 127.0.0.1 as soon as a file names it: `take_port.py FILE`.

Prints `taken`, or `refused` and the port if somebody else listens there.
"""

import re
import signal
import socket
import sys
import time
from pathlib import Path

while True:
    try:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", Path(sys.argv[1]).read_text())
    except OSError:
        found = None
    if found:
        break
    time.sleep(0.001)
with socket.socket() as ours:
    try:
        ours.bind(("127.0.0.1", int(found[1])))
        print("taken", flush=True)
        signal.pause()
    except OSError:
        print("refused", found[1], flush=True)
