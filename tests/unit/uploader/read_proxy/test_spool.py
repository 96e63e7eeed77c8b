"""Where archives wait for Nix: within budgets, and without a trace on the disk."""

from pathlib import Path

from nix_autocache.uploader.read_proxy import spool
from nix_autocache.uploader.read_proxy.spool import Room, Spool


def filled(room: Room | None) -> Room:
    assert room
    for start in range(0, room.size, 100_000):
        room.write(bytes([start // 100_000 % 256]) * min(100_000, room.size - start))
    assert room.read(100_000, 3) == b"\x01\x01\x01"
    assert len(room.read(0, room.size)) == room.size
    return room


def test_small_archives_are_in_memory_and_others_in_files_without_a_name(tmp_path: Path) -> None:
    place = Spool(tmp_path, memory=500_000, disk=4 << 20)
    small, more, large = (filled(place.reserve(size)) for size in (400_000, 300_000, 2 << 20))
    assert [room.file is None for room in (small, more, large)] == [True, False, False]
    assert list(tmp_path.iterdir()) == []
    assert place.reserve(3 << 20) is None
    for room in (small, more, large):
        room.close()
        room.close()
    assert filled(place.reserve(500_000)).file is None
    assert filled(place.reserve(4 << 20)).file is not None
    assert place.reserve(300_000) is None


def test_there_are_only_so_many_files_and_some_of_the_disk_stays_free(tmp_path: Path) -> None:
    place = Spool(tmp_path, memory=0)
    rooms = [place.reserve(10) for _ in range(spool.FILES)]
    assert all(rooms)
    assert place.reserve(10) is None
    huge = Spool(tmp_path, memory=0, disk=1 << 60)
    assert huge.reserve(1 << 59) is None
    assert Spool(tmp_path / "gone", memory=0).reserve(10) is None
