"""The lock by which a supervisor is known to live."""

import threading
from pathlib import Path

from nix_autocache.system.locks import alive, text_of_holder


def test_who_looks_for_the_holder_does_not_keep_it_from_the_lock(tmp_path: Path) -> None:
    lock, enough = tmp_path / "lock", threading.Event()

    def look() -> None:
        while not enough.is_set():
            text_of_holder(lock)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(200):
            with alive(lock) as file:
                assert file is not None
    finally:
        enough.set()
        looker.join()


def test_a_lock_that_is_held_is_not_had(tmp_path: Path) -> None:
    with alive(tmp_path / "lock") as first, alive(tmp_path / "lock") as second:
        assert first is not None
        first.write("17")
        first.flush()
        assert second is None
        assert text_of_holder(tmp_path / "lock") == "17"
    assert text_of_holder(tmp_path / "lock") == ""
