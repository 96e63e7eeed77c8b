"""A nix-daemon that answers what it is told to, wrong in any byte: no real one can be made to.

`FakeNix` is a directory with a program `nix-daemon` and a file for each path that it knows: what it writes when it is
asked for that path. A file that begins with `die` ends it there, one that begins with `hang` keeps it silent.
"""

import hashlib
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nix_autocache.nix import base32, nar
from nix_autocache.nix.store import Nix
from tests.harness import programs

DIE, HANG = b"die", b"hang"
LAST, FAILED, LOGGED = 0x616C7473, 0x63787470, 0x6F6C6D67


def number(value: int) -> bytes:
    return struct.pack("<Q", value)


def text(data: bytes) -> bytes:
    return number(len(data)) + data + bytes(-len(data) % 8)


def texts(each: Iterable[bytes]) -> bytes:
    found = list(each)
    return number(len(found)) + b"".join(map(text, found))


def answer(
    nar_hash: bytes,
    nar_size: int,
    references: Iterable[bytes] = (),
    signatures: Iterable[bytes] = (),
    *,
    deriver: bytes = b"",
    ca: bytes = b"",
    registered: int = 0,
    ultimate: int = 1,
) -> bytes:
    """The daemon's answer for a valid path; the hash is in base 16."""
    head = number(LAST) + number(1) + text(deriver) + text(nar_hash) + texts(references)
    return head + number(registered) + number(nar_size) + number(ultimate) + texts(signatures) + text(ca)


def refusal(said: bytes) -> bytes:
    return number(FAILED) + text(said) + number(1)


@dataclass(frozen=True)
class FakeNix:
    """A store below `directory`, or said to be elsewhere, and the daemon that knows it."""

    directory: Path
    store_dir: str = ""

    @property
    def nix(self) -> Nix:
        return Nix(self.directory / "bin", store_dir=str(self.store))

    @property
    def store(self) -> Path:
        return Path(self.store_dir) if self.store_dir else self.directory / "store"

    def create(self) -> None:
        (self.directory / "bin").mkdir(parents=True)
        (self.directory / "bin" / "answers").mkdir()
        if not self.store_dir:
            self.store.mkdir()
        program = self.directory / "bin" / "nix-daemon"
        program.write_text(f"#!{sys.executable} -SE\n{programs.source('nix_daemon.py')}")
        program.chmod(0o755)

    def path(self, name: str) -> str:
        """A store path that is not there."""
        return f"{self.store}/{base32.encode(hashlib.sha256(name.encode()).digest()[:20])}-{name}"

    def add(self, name: str, references: Iterable[str] = (), signatures: Iterable[bytes] = ()) -> str:
        """A path that is there, and of which the daemon says what is true."""
        path = self.path(name)
        Path(path).write_text(f"{name} {' '.join(references)}")
        self.says(path, self.truth(path, references, signatures))
        return path

    def truth(self, path: str, references: Iterable[str] = (), signatures: Iterable[bytes] = ()) -> bytes:
        archive = b"".join(nar.archive(path))
        digest = hashlib.sha256(archive).hexdigest().encode()
        return answer(digest, len(archive), [reference.encode() for reference in references], signatures)

    def says(self, path: str, answered: bytes) -> None:
        (self.directory / "bin" / "answers" / path.rpartition("/")[2]).write_bytes(answered)
