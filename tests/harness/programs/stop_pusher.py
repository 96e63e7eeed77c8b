"""Stops a push in the middle: `python3 stop_pusher.py DIRECTORY SIZE FILE COMMAND…`.

Starts the command and stops it when so many bytes of an archive are in the directory, before the narinfos that wait for
it. It goes on when the file is there. Prints `stopped` then, or `ended` if the command ended before; exits as the
command.
"""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path


def large(directory: Path, size: int) -> set[str]:
    """Archives, also those that are being written."""
    found = set()
    for path in (directory / "nar").iterdir():
        with suppress(FileNotFoundError):  # it has got its name meanwhile
            if path.stat().st_size >= size:
                found.add(path.name)
    return found


def main(directory: Path, size: int, file: Path, command: list[str]) -> int:
    before = large(directory, size)
    running = subprocess.Popen(["nice", "-n", "19", *command])  # so that this program is in time on a busy machine
    while large(directory, size) <= before:
        if running.poll() is not None:
            print("ended")
            return running.returncode
    running.send_signal(signal.SIGSTOP)
    print("stopped", flush=True)
    while not file.exists():
        time.sleep(0.01)
    running.send_signal(signal.SIGCONT)
    return running.wait()


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]))
