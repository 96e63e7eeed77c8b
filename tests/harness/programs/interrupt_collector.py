"""Interrupts a collector in the middle: `python3 interrupt_collector.py DIRECTORY COUNT SCRIPT COMMAND…`.

Starts the command and waits until it has deleted so many narinfos from the directory; with 0, until it has begun. Then,
without a SCRIPT, it kills the command; with one, it stops it, runs the script, and lets it go on. Prints `killed`,
`stopped`, or `ended` if the command ended before; exits as the command, with 0 if it was killed.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path


def narinfos(directory: Path) -> int:
    with os.scandir(directory) as entries:
        return sum(entry.name.endswith(".narinfo") for entry in entries)


def main(directory: Path, count: int, script: str, command: list[str]) -> int:
    begun, before = directory / "autocache/gc/begun", narinfos(directory)
    running = subprocess.Popen(command)
    while running.poll() is None:
        if narinfos(directory) <= before - count if count else begun.exists():
            running.send_signal(signal.SIGSTOP if script else signal.SIGKILL)
            break
    else:
        print("ended")
        return running.returncode
    if script:
        subprocess.run(["sh", "-euc", script], check=True)
        running.send_signal(signal.SIGCONT)
    status = running.wait()
    print("stopped" if script else "killed")
    return status if script else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]))
