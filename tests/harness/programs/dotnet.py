"""Stands for a process of .NET, as GitHub's runner is one: its diagnostic port and its debugger's pipe, in /tmp."""

import os
import signal
import socket

PORT = "/tmp/dotnet-diagnostic-1234-5678-socket"
PIPE = "/tmp/clr-debug-pipe-1234-5678-in"

if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(PORT)
        os.chmod(PORT, 0o600)
        server.listen()
        os.mkfifo(PIPE, 0o600)
        signal.pause()
