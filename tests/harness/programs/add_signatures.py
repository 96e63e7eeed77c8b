"""Have the nix-daemon add signatures of any bytes to a path, as any of its users: its operation 37.

No program of Nix gives it a text that is no signature. `add_signatures.py PATH HEX…`; `HEX*COUNT` is repeated bytes.
Ends with an error where the daemon refuses.
"""

import socket
import struct
import sys


def number(value: int) -> bytes:
    return struct.pack("<Q", value)


def text(data: bytes) -> bytes:
    return number(len(data)) + data + bytes(-len(data) % 8)


def signature(word: str) -> bytes:
    data, _, count = word.partition("*")
    return bytes.fromhex(data) * int(count or 1)


def main(path: str, words: list[str]) -> None:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect("/nix/var/nix/daemon-socket/socket")
    stream = connection.makefile("rb")

    def read() -> int:
        return int(struct.unpack("<Q", stream.read(8))[0])

    def skip_log() -> None:
        word = read()
        assert word == 0x616C7473, stream.read1(1000)

    connection.sendall(number(0x6E697863) + number(0x115))
    read(), read()
    connection.sendall(number(0) + number(0))
    skip_log()
    signatures = [signature(word) for word in words]
    connection.sendall(number(37) + text(path.encode()) + number(len(signatures)) + b"".join(map(text, signatures)))
    skip_log()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
