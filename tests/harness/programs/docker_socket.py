"""Listen on a socket like Docker's, which belongs to the group of a hosted runner's user.

It stands for an engine that is not here.
"""

import grp
import os
import signal
import socket

with socket.socket(socket.AF_UNIX) as server:
    server.bind("/run/docker.sock")
    os.chown("/run/docker.sock", 0, grp.getgrnam("docker").gr_gid)
    os.chmod("/run/docker.sock", 0o660)
    server.listen()
    signal.pause()
