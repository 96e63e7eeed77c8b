"""The Nix store, asked through `nix-store --serve`: which paths are valid, and what Nix knows of them.

The protocol is the one that `ssh://` stores speak, version 2.5, unchanged from Nix 2.8 to 2.34, while the
JSON of `nix path-info` is not. It works as any user, through a daemon or without one.
Source: src/libstore/serve-protocol.hh and src/nix-store/nix-store.cc (opServe) of Nix.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

from ..errors import InputError, StoreError, one_line

_CLIENT_MAGIC: Final = 0x390C9DEB
_SERVER_MAGIC: Final = 0x5452EECB
_VERSION: Final = 0x205
_QUERY_PATH_INFOS: Final = 2
_BATCH: Final = 1000

_BASE_NAME = re.compile(r"[0-9abcdfghijklmnpqrsvwxyz]{32}-[0-9a-zA-Z+._?=-]{1,211}")
_OUTPUT = re.compile(r'\("[^"]+","([^"]+)","[^"]*","[^"]*"')


class StorePath(str):
    """A store path in full, `/nix/store/<32 characters of hash>-<name>`. Made by `parse_store_path`."""

    __slots__ = ()

    @property
    def base(self) -> str:
        return self.rpartition("/")[2]

    @property
    def hash_part(self) -> str:
        return self.base[:32]

    @property
    def name(self) -> str:
        return self.base[33:]


def parse_store_path(text: str, store_dir: str) -> StorePath:
    """Parse a full store path. Raises ValueError for anything else, paths inside a store path included."""
    directory, _, base = text.rpartition("/")
    if directory != store_dir or not _BASE_NAME.fullmatch(base):
        raise ValueError(f"{text!r} is not a path in {store_dir}")
    return StorePath(text)


@dataclass(frozen=True, slots=True)
class PathInfo:
    """What Nix's database holds of a valid path. `nar_size` in bytes; `nar_hash` is `sha256:` and base 32."""

    path: StorePath
    deriver: str
    references: tuple[StorePath, ...]
    nar_hash: str
    nar_size: int
    ca: str
    signatures: tuple[str, ...]


@dataclass(frozen=True)
class Nix:
    """One Nix on this machine: where its programs are, and its store."""

    bin: Path
    store_dir: str = "/nix/store"
    state_dir: Path = Path("/nix/var/nix")

    def program(self, name: str) -> str:
        return str(self.bin / name)

    def version(self) -> str:
        """Such as 2.34.7; empty if Nix does not say."""
        done = subprocess.run([self.program("nix-store"), "--version"], capture_output=True, text=True, check=False)
        return done.stdout.strip().rpartition(" ")[2]

    def store_paths(self, paths: Iterable[str]) -> list[StorePath]:
        """The store paths that paths and links lead to. Raises InputError for one that leads elsewhere."""
        found = []
        for path in paths:
            inside = os.path.realpath(path).removeprefix(f"{self.store_dir}/").partition("/")[0]
            try:
                found.append(parse_store_path(f"{self.store_dir}/{inside}", self.store_dir))
            except ValueError:
                raise InputError(f"{path} is not in {self.store_dir}, nor a link into it") from None
        return found

    def outputs(self, derivation: StorePath) -> list[StorePath]:
        """A derivation's outputs, for a hook that was not told them (Nix 2.8, NixOS/nix#6446).

        None for a derivation that is gone. Format: Eelco Dolstra's thesis, figure 5.8 (the .drv's ATerm).
        """
        try:
            text = Path(derivation).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        first_list = text[: text.find(")],[")]
        return [StorePath(path) for path in _OUTPUT.findall(first_list)]


class Store:
    """A conversation with `nix-store --serve`; not for two threads at once. Starts at the first question, if not told
    to `begin` earlier."""

    def __init__(self, nix: Nix) -> None:
        self.nix = nix
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: tuple[IO[bytes], IO[bytes]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = self._pipes = None

    def begin(self) -> None:
        """Start Nix, which takes 15 ms, while something else is done. Raises OSError when it is not there."""
        self._process = process = subprocess.Popen(
            [self.nix.program("nix-store"), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_without_credentials(),
        )
        assert process.stdin is not None, "it is a pipe"
        process.stdin.write(_number(_CLIENT_MAGIC) + _number(_VERSION))
        process.stdin.flush()

    def path_infos(self, paths: Collection[StorePath]) -> dict[StorePath, PathInfo]:
        """What Nix knows of those of `paths` that are valid. Raises StoreError when Nix cannot be asked."""
        infos = {}
        todo = list(paths)
        for start in range(0, len(todo), _BATCH):
            for info in self._path_infos(todo[start : start + _BATCH]):
                infos[info.path] = info
        return infos

    def _path_infos(self, paths: Sequence[StorePath], *, again: bool = True) -> list[PathInfo]:
        try:
            return self._ask(paths)
        except (OSError, EOFError) as error:
            self.close()
            if again:  # the daemon behind it may have been restarted since the last question
                return self._path_infos(paths, again=False)
            raise StoreError(f"nix-store --serve: {one_line(error)}") from error

    def _ask(self, paths: Sequence[StorePath]) -> list[PathInfo]:
        to_nix, from_nix = self._pipes or self._start()
        to_nix.write(_number(_QUERY_PATH_INFOS) + _strings(paths))
        to_nix.flush()
        return list(_read_infos(from_nix))

    def _start(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None:
            self.begin()
        process = self._process
        assert process is not None, "it was begun"
        assert process.stdin is not None, "it is a pipe"
        assert process.stdout is not None, "it is a pipe"
        if _read_number(process.stdout) != _SERVER_MAGIC:
            raise EOFError("it does not speak the serve protocol")
        _read_number(process.stdout)  # the server's version; every one since 2.5 answers alike
        self._pipes = process.stdin, process.stdout
        return self._pipes


def _without_credentials() -> dict[str, str]:
    """Other processes of this user can read the environment that a child was given."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AZURE_", "GOOGLE_"))}


def _number(value: int) -> bytes:
    return struct.pack("<Q", value)


def _strings(texts: Iterable[str]) -> bytes:
    encoded = [text.encode() for text in texts]
    return _number(len(encoded)) + b"".join(_number(len(e)) + e + bytes(-len(e) % 8) for e in encoded)


def _read(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("it ended in the middle of an answer")
    return data


def _read_number(stream: IO[bytes]) -> int:
    (value,) = struct.unpack("<Q", _read(stream, 8))
    return int(value)


def _read_string(stream: IO[bytes]) -> str:
    size = _read_number(stream)
    return _read(stream, size + -size % 8)[:size].decode()


def _read_strings(stream: IO[bytes]) -> list[str]:
    return [_read_string(stream) for _ in range(_read_number(stream))]


def _read_infos(stream: IO[bytes]) -> Iterable[PathInfo]:
    while path := _read_string(stream):
        deriver = _read_string(stream)
        references = tuple(StorePath(text) for text in sorted(_read_strings(stream)))
        _read_number(stream)  # download size, which Nix fills with the NAR's
        nar_size = _read_number(stream)
        nar_hash, ca = _read_string(stream), _read_string(stream)
        yield PathInfo(StorePath(path), deriver, references, nar_hash, nar_size, ca, tuple(_read_strings(stream)))
