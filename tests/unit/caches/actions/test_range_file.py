"""Ranges on disk: what was not written is not read."""

import resource
import tempfile

import pytest

from nix_autocache.caches.actions.range_file import RangeFile


def test_a_piece_for_which_the_disk_has_no_room_is_written_again_at_its_place() -> None:
    first, second, third = bytes(range(250)) * 4, bytes(range(250))[::-1] * 4, b"end" * 100
    with tempfile.TemporaryFile() as opened:
        file = RangeFile("key", 5000, 7300, opened)
        file.write(first)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))
        try:
            with pytest.raises(OSError, match="too large"):
                file.write(second)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert file.filled == 6000
        file.write(second)
        file.write(third)
        file.finish(None)
        assert b"".join(file.pieces(5000, 7300)) == first + second + third
