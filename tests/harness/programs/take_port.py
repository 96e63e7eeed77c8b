"""Takes the port of 127.0.0.1 that a file names as soon as it does: `python taking.py FILE`, which says `taken`, or
`refused` with the port where somebody listens already."""

import re
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
        time.sleep(3600)
    except OSError:
        print("refused", found[1], flush=True)
