"""The Nix store, asked through `nix-daemon --stdio`: which paths are valid, and what Nix knows of them.

The protocol is the one between a client and the daemon, spoken as version 1.21, which Nix 2.8 to 2.34 answer alike,
while the JSON of `nix path-info` differs. It works as any user, through a daemon or without one, and unlike
`nix-store --serve` it says which paths were built here. Source: src/libstore/worker-protocol.hh and daemon.cc of Nix.
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
from ..schemes import CREDENTIALS
from . import base32

_CLIENT_MAGIC: Final = 0x6E697863
_SERVER_MAGIC: Final = 0x6478696F
_VERSION: Final = 0x115
_QUERY_PATH_INFO: Final = 26
_LOGGED, _FAILED, _LAST = 0x6F6C6D67, 0x63787470, 0x616C7473
_BATCH: Final = 100  # questions, which together fit into a pipe: Nix answers each before it reads the next

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
    """What Nix's database holds of a valid path. `nar_size` in bytes; `nar_hash` is `sha256:` and base 32.

    `registered` is when it became valid, in seconds since 1970; `ultimate` says that it was built here.
    """

    path: StorePath
    deriver: str
    references: tuple[StorePath, ...]
    nar_hash: str
    nar_size: int
    ca: str
    signatures: tuple[str, ...]
    registered: int = 0
    ultimate: bool = False


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
    """A conversation with `nix-daemon --stdio`; not for two threads at once. Starts at the first question, if not told
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
            [self.nix.program("nix-daemon"), "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_without_credentials(),
        )
        assert process.stdin is not None, "it is a pipe"
        # No processor to run on, and no space to reserve.
        process.stdin.write(b"".join(map(_number, (_CLIENT_MAGIC, _VERSION, 0, 0))))
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
        except (OSError, EOFError, StoreError) as error:
            self.close()
            if again:  # the daemon behind it may have been restarted since the last question
                return self._path_infos(paths, again=False)
            raise StoreError(f"nix-daemon --stdio: {one_line(error)}") from error

    def _ask(self, paths: Sequence[StorePath]) -> list[PathInfo]:
        to_nix, from_nix = self._pipes or self._start()
        to_nix.write(b"".join(_number(_QUERY_PATH_INFO) + _string(path) for path in paths))
        to_nix.flush()
        return [info for path in paths if (info := _read_info(from_nix, path))]

    def _start(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None:
            self.begin()
        process = self._process
        assert process is not None, "it was begun"
        assert process.stdin is not None, "it is a pipe"
        assert process.stdout is not None, "it is a pipe"
        if _read_number(process.stdout) != _SERVER_MAGIC:
            raise EOFError("it does not speak the daemon's protocol")
        _read_number(process.stdout)  # the server's version; it speaks ours
        _read_log(process.stdout)
        self._pipes = process.stdin, process.stdout
        return self._pipes


def _without_credentials() -> dict[str, str]:
    """Other processes of this user can read the environment that a child was given."""
    return {name: value for name, value in os.environ.items() if not name.startswith(CREDENTIALS)}


def _number(value: int) -> bytes:
    return struct.pack("<Q", value)


def _string(text: str) -> bytes:
    encoded = text.encode()
    return _number(len(encoded)) + encoded + bytes(-len(encoded) % 8)


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


def _read_log(stream: IO[bytes]) -> None:
    """What comes before an answer. Raises StoreError where there is none."""
    while (kind := _read_number(stream)) != _LAST:
        text = _read_string(stream)
        if kind == _FAILED:
            _read_number(stream)
            raise StoreError(f"Nix says: {text}")
        if kind != _LOGGED:
            raise EOFError(f"it said {kind:#x}, which is no word of its protocol")


def _read_info(stream: IO[bytes], path: StorePath) -> PathInfo | None:
    """None for a path that is not valid."""
    _read_log(stream)
    if not _read_number(stream):
        return None
    deriver, nar_hash = _read_string(stream), bytes.fromhex(_read_string(stream))
    references = tuple(StorePath(text) for text in sorted(_read_strings(stream)))
    registered, nar_size, ultimate = (_read_number(stream) for _ in range(3))
    signatures, ca = tuple(_read_strings(stream)), _read_string(stream)
    return PathInfo(
        path, deriver, references, f"sha256:{base32.encode(nar_hash)}", nar_size, ca, signatures,
        registered, bool(ultimate),
    )  # fmt: skip
