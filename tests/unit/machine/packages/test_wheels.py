"""Wheels are unpacked only if the lock has their hash."""

import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from nix_autocache.errors import RunnerError
from nix_autocache.machine.packages import wheels


def test_only_wheels_of_the_lock_are_unpacked_and_only_what_can_be_imported(tmp_path: Path) -> None:
    wheel, target, lock = tmp_path / "a-1-py3-none-any.whl", tmp_path / "target", tmp_path / "lock.txt"
    names = ("a/__init__.py", "a-1.data/purelib/b.py", "a-1.data/scripts/run", "../outside", "/absolute", "a/../../c")
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in names:
            archive.writestr(name, "text")
    lock.write_text(f"a==1 \\\n    --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}\n")
    target.mkdir()
    wheels.unpack(wheel, wheels.hashes([lock]), target)
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*.*")) == ["a/__init__.py", "b.py"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1-py3-none-any.whl", "lock.txt", "target"]
    with open(wheel, "ab") as file:
        file.write(b"\0")
    with pytest.raises(RunnerError, match="not in the lock"):
        wheels.unpack(wheel, wheels.hashes([lock]), target)
