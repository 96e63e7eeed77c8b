"""Pieces made prefetch of their use: the same pieces, no more than were asked for, and their errors."""

from collections.abc import Iterator

import pytest

from nix_autocache.caches.prefetch import prefetch
from nix_autocache.errors import StoreError


def test_the_pieces_come_through_whole_and_in_order() -> None:
    pieces = [bytes([number % 256]) * number for number in range(300)]
    with prefetch(pieces, 1000) as taken:
        assert b"".join(taken) == b"".join(pieces)


def test_an_error_comes_after_the_pieces_before_it() -> None:
    """So that an archive whose hash is wrong is never sent to its end."""

    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise StoreError("changed on disk")

    got: list[bytes] = []
    with prefetch(pieces(), 1000) as taken, pytest.raises(StoreError, match="changed on disk"):
        got += taken
    assert b"".join(got) == b"one"


def test_no_more_is_made_than_may_wait_and_nothing_after_the_end() -> None:
    made = []

    def pieces() -> Iterator[bytes]:
        while True:
            made.append(1)
            yield bytes(10)

    with prefetch(pieces(), 100) as taken:
        next(taken)
    assert len(made) <= 100 / 10 + 100 / 10 + 2
