"""A client of `nix-daemon --stdio`: which paths are valid, and what Nix's database has of them.

It speaks version 1.21 of the protocol between clients and the daemon, which Nix 2.8 to 2.34 answer alike; the JSON of
`nix path-info` differs between them. It works for any user, with or without a daemon, and unlike `nix-store --serve` it
says which paths were built here. An answer may be wrong: each is checked by itself.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Final, Self

from ..errors import StoreError, one_line
from ..schemes.table import credential_prefixes
from ..system import process
from . import worker_protocol as protocol
from .path_answer import LONGEST, Answer, read_answer
from .store import Nix, PathInfo, StorePath, store_path_of
from .worker_protocol import BrokenConversation, Pipe

_QUERY_PATH_INFO: Final = 26
_QUERY_OUTPUT_MAP: Final = 41
_BATCH: Final = 100  # questions, which together fit into a pipe: Nix answers each before it reads the next
_ANSWER: Final = 30.0  # seconds for an answer
_SILENCE: Final = 60.0  # seconds without a usable answer, after which we stop asking
_END: Final = 5.0  # seconds for a killed process to end
_MOST_OUTPUTS: Final = 10_000  # of a derivation


class StoreClient:
    """A conversation with `nix-daemon --stdio`, for one thread at a time. Starts with the first question or `begin`."""

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
        """Start Nix in the background, which takes 15 ms. Raises OSError."""
        self._process = begun = process.start(
            [self.nix.program("nix-daemon"), "--stdio"],
            # Other processes of this user can read the environment of a child.
            environ=process.inherited(without=credential_prefixes()),
            given=process.PIPE,
            output=process.PIPE,
            errors=process.NOTHING,
            bufsize=0,
        )
        assert begun.stdin is not None, "it is a pipe"
        # Two obsolete options: CPU affinity and reserved space.
        begun.stdin.write(b"".join(map(protocol.number, (protocol.CLIENT_MAGIC, protocol.VERSION, 0, 0))))

    def path_infos(self, paths: Collection[StorePath]) -> dict[StorePath, PathInfo]:
        """The usable ones of `answers`."""
        return {path: answer for path, answer in self.answers(paths).items() if isinstance(answer, PathInfo)}

    def answers(self, paths: Collection[StorePath]) -> dict[StorePath, Answer]:
        """The answers for those of `paths` that are valid.

        Paths are asked for in batches. If a batch breaks off, its answers cannot be assigned to paths, so each path is
        asked for alone: a path that ends the conversation or makes it hang gets an error of its own. Raises StoreError
        if Nix cannot be asked at all.
        """
        found: dict[StorePath, Answer] = {}
        todo = list(paths)
        for start in range(0, len(todo), _BATCH):
            batch = todo[start : start + _BATCH]
            try:
                found |= self._ask(batch)
            except (OSError, BrokenConversation):  # perhaps only because the daemon was restarted
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
        """The outputs of a derivation in Nix's database, also of a content-addressed one.

        Any user of the daemon may have written them. Empty if Nix knows none. Raises StoreError if Nix cannot be asked
        at all.
        """
        from_nix = self._conversation()
        from_nix.allow(_ANSWER)
        try:
            self._send(protocol.number(_QUERY_OUTPUT_MAP) + protocol.text(derivation.encode()))
            if protocol.read_log(from_nix) is not None:
                return []
            count = min(protocol.read_number(from_nix), _MOST_OUTPUTS)
            texts = [protocol.read_text(from_nix, LONGEST) for _ in range(2 * count)]
        except (OSError, BrokenConversation):
            self.close()
            return []
        return [path for text in texts[1::2] if (path := store_path_of(text or b"", self.nix.store_dir))]

    def _ask(self, paths: list[StorePath]) -> dict[StorePath, Answer]:
        """The answers for `paths`, in order.

        Raises OSError or BrokenConversation, and ends the conversation: unread answers would be taken for those of
        other paths.
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
        """The present conversation or a new one. Raises StoreError after two failed attempts to start one."""
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
