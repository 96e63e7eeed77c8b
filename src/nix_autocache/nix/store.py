"""The Nix store, asked through `nix-daemon --stdio`: which paths are valid, and what Nix knows of them.

The protocol is the one between a client and the daemon, spoken as version 1.21, which Nix 2.8 to 2.34 answer alike,
while the JSON of `nix path-info` differs. It works as any user, through a daemon or without one, and unlike
`nix-store --serve` it says which paths were built here. What it answers of a path may be wrong: it is judged path by
path.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias

from ..errors import InputError, StoreError, one_line
from ..schemes import CREDENTIALS
from ..system import process
from . import base32
from . import worker_protocol as protocol
from .worker_protocol import BrokenConversation, Pipe, Source

_QUERY_PATH_INFO: Final = 26
_QUERY_OUTPUT_MAP: Final = 41
_BATCH: Final = 100  # questions, which together fit into a pipe: Nix answers each before it reads the next
_ANSWER: Final = 30.0  # seconds for an answer
_SILENCE: Final = 60.0  # seconds without an answer that can be used, after which nothing more is asked
_END: Final = 5.0  # seconds for a process that was killed
_LONGEST: Final = 4096  # bytes of a text that means something
_MOST_OUTPUTS: Final = 10_000  # of a derivation
_SIGNATURES: Final = 1024  # of one path: any user can add more, and each takes time to verify

_BASE_NAME = re.compile(r"[0-9abcdfghijklmnpqrsvwxyz]{32}-[0-9a-zA-Z+._?=-]{1,211}")
_OUTPUT = re.compile(r'\("[^"]+","([^"]+)","[^"]*","[^"]*"')
_OUTPUTS: Final = 1 << 20  # bytes at a derivation's beginning, where its outputs are
_HASH = re.compile(rb"[0-9a-f]{64}")
_CONTENT_ADDRESS = re.compile(rb"[!-~]*")
_SIGNATURE = re.compile(rb"[!-9;-~]{1,200}:[A-Za-z0-9+/]{86}==")  # 64 bytes


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

    def program(self, name: str) -> str:
        return str(self.bin / name)

    def version(self) -> str:
        """Such as 2.34.7; empty if Nix does not say."""
        return process.run([self.program("nix-store"), "--version"]).output.strip().rpartition(" ")[2]

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
            with open(derivation, "rb") as file:
                beginning = file.read(_OUTPUTS).decode("utf-8", "replace")
        except OSError:
            return []
        found = _OUTPUT.findall(beginning[: beginning.find(")],[")])
        return [path for text in found if (path := _store_path(text.encode(), self.store_dir))]


Answer: TypeAlias = PathInfo | StoreError
"""What Nix knows of a valid path, or why what it says of it cannot be used."""


class Store:
    """A conversation with `nix-daemon --stdio`; not for two threads at once. Starts at the first question, if not told
    to `begin` earlier."""

    def __init__(self, nix: Nix) -> None:
        self.nix = nix
        self._process: process.Process | None = None
        self._from_nix: Pipe | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if begun := self._process:
            self._process = self._from_nix = None
            begun.kill()
            for pipe in filter(None, (begun.stdin, begun.stdout)):
                with suppress(OSError):
                    pipe.close()
            with suppress(process.TimeoutExpired):
                begun.wait(_END)

    def begin(self) -> None:
        """Start Nix, which takes 15 ms, while something else is done. Raises OSError when it is not there."""
        self._process = begun = process.start(
            [self.nix.program("nix-daemon"), "--stdio"],
            # Other processes of this user can read the environment of a child.
            environ=process.inherited(without=CREDENTIALS),
            given=process.PIPE,
            output=process.PIPE,
            errors=process.NOTHING,
            bufsize=0,
        )
        assert begun.stdin is not None, "it is a pipe"
        # No processor to run on, and no space to reserve.
        begun.stdin.write(b"".join(map(protocol.number, (protocol.CLIENT_MAGIC, protocol.VERSION, 0, 0))))

    def path_infos(self, paths: Collection[StorePath]) -> dict[StorePath, PathInfo]:
        """`answers` without what cannot be used."""
        return {path: answer for path, answer in self.answers(paths).items() if isinstance(answer, PathInfo)}

    def answers(self, paths: Collection[StorePath]) -> dict[StorePath, Answer]:
        """What Nix says of those of `paths` that are valid.

        Many are asked for at once. Where that breaks off, nobody knows which answer was whose, so each is asked for by
        itself: a path that ends the conversation, or lets it hang, has an error of its own. Raises StoreError when Nix
        cannot be asked at all.
        """
        found: dict[StorePath, Answer] = {}
        todo = list(paths)
        for start in range(0, len(todo), _BATCH):
            batch = todo[start : start + _BATCH]
            try:
                found |= self._ask(batch)
            except (OSError, BrokenConversation):  # the daemon behind it may have been restarted, too
                found |= self._ask_one_by_one(batch)
        return found

    def _ask_one_by_one(self, paths: Iterable[StorePath]) -> dict[StorePath, Answer]:
        found: dict[StorePath, Answer] = {}
        answered = time.monotonic()
        for path in paths:
            try:
                found |= self._ask([path])
                answered = time.monotonic()
            except (OSError, BrokenConversation) as error:
                if time.monotonic() - answered > _SILENCE:
                    raise StoreError(f"nix-daemon --stdio: {one_line(error)}") from error
                found[path] = StoreError(f"nix-daemon --stdio cannot be asked for it: {one_line(error)}")
        return found

    def outputs_of(self, derivation: StorePath) -> list[StorePath]:
        """The outputs of a derivation as Nix's database has them, those of a content-addressed one included.

        Any user of the daemon may have written them there. None where Nix does not say. Raises StoreError when it
        cannot be asked at all.
        """
        from_nix = self._conversation()
        from_nix.allow(_ANSWER)
        try:
            self._send(protocol.number(_QUERY_OUTPUT_MAP) + protocol.text(derivation.encode()))
            if protocol.read_log(from_nix) is not None:
                return []
            count = min(protocol.read_number(from_nix), _MOST_OUTPUTS)
            texts = [protocol.read_text(from_nix, _LONGEST) for _ in range(2 * count)]
        except (OSError, BrokenConversation):
            self.close()
            return []
        return [path for text in texts[1::2] if (path := _store_path(text or b"", self.nix.store_dir))]

    def _ask(self, paths: list[StorePath]) -> dict[StorePath, Answer]:
        """The answers for `paths`, which come in order.

        Raises OSError or BrokenConversation, and ends the conversation: answers that were not read would be taken for
        those of other paths.
        """
        from_nix = self._conversation()
        try:
            self._send(b"".join(protocol.number(_QUERY_PATH_INFO) + protocol.text(path.encode()) for path in paths))
            found = {}
            for path in paths:
                from_nix.allow(_ANSWER)
                if answer := read_answer(from_nix, path, self.nix.store_dir):
                    found[path] = answer
            if not from_nix.is_empty():
                raise BrokenConversation("it says more than it was asked for")
        except BaseException:
            self.close()
            raise
        return found

    def _conversation(self) -> Pipe:
        """The one that goes on, or another. Raises StoreError where none can be begun, also at the second attempt."""
        if self._from_nix is not None and not self._from_nix.is_empty():
            self.close()
        if self._from_nix is None:
            try:
                self._from_nix = self._greeted()
            except (OSError, BrokenConversation):
                self.close()
                try:
                    self._from_nix = self._greeted()
                except (OSError, BrokenConversation) as error:
                    self.close()
                    raise StoreError(f"nix-daemon --stdio: {one_line(error)}") from error
        return self._from_nix

    def _greeted(self) -> Pipe:
        if self._process is None:
            self.begin()
        assert self._process is not None, "it was begun"
        assert self._process.stdout is not None, "it is a pipe"
        from_nix = Pipe(self._process.stdout.fileno())
        from_nix.allow(_ANSWER)
        protocol.greet(from_nix)
        return from_nix

    def _send(self, data: bytes) -> None:
        assert self._process is not None, "there is a conversation"
        assert self._process.stdin is not None, "it is a pipe"
        while data:
            data = data[self._process.stdin.write(data) or 0 :]


def read_answer(source: Source, path: StorePath, store_dir: str) -> Answer | None:
    """What Nix says of a path; None for one that is not valid. Raises BrokenConversation, or as `source` does."""
    if (refused := protocol.read_log(source)) is not None:
        return StoreError(f"Nix says: {refused}")
    if not protocol.read_bool(source):
        return None
    deriver, nar_hash = protocol.read_text(source, _LONGEST), protocol.read_text(source, _LONGEST)
    references, others = protocol.read_texts(source, _LONGEST, lambda each: bool(_store_path(each, store_dir)))
    registered, nar_size = protocol.read_number(source), protocol.read_number(source)
    ultimate = protocol.read_bool(source)
    # Any user can have the daemon add signatures, and it does not look at them.
    signatures, _ = protocol.read_texts(
        source, _LONGEST, lambda each: _SIGNATURE.fullmatch(each) is not None, _SIGNATURES
    )
    ca = protocol.read_text(source, _LONGEST)
    if others:
        return _nonsense(path, "a reference that is no store path")
    if nar_hash is None or not _HASH.fullmatch(nar_hash):
        return _nonsense(path, "a hash that is none")
    if not 0 < nar_size < 1 << 63:
        return _nonsense(path, f"a size of {nar_size} bytes")
    if ca is None or not _CONTENT_ADDRESS.fullmatch(ca):
        return _nonsense(path, "a content address that is none")
    return PathInfo(
        path=path,
        deriver=_store_path(deriver or b"", store_dir) or "",
        references=tuple(StorePath(reference.decode()) for reference in sorted(set(references))),
        nar_hash=f"sha256:{base32.encode(bytes.fromhex(nar_hash.decode()))}",
        nar_size=nar_size,
        ca=ca.decode(),
        signatures=tuple(each.decode() for each in signatures),
        registered=registered,
        ultimate=ultimate,
    )


def _nonsense(path: StorePath, what: str) -> StoreError:
    return StoreError(f"Nix knows {what} of {path}; `nix-store --verify` may say more")


def _store_path(data: bytes, store_dir: str) -> StorePath | None:
    """The store path that some bytes are, None where they are none."""
    with suppress(ValueError):
        return parse_store_path(data.decode("latin-1"), store_dir)
    return None
