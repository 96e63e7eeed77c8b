"""tools/check_locks.py with a directory as its index: a wheel that lacks, and one that is not the lock's, are named."""

import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from tools import check_locks

GLIBC, MUSL = "x86_64-manylinux_2_17", "x86_64-unknown-linux-musl"
METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1\n",
    "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n",
    "RECORD": "",
}


def add_wheel(index: Path, tag: str) -> str:
    """A wheel in the index; its hash as a lock has it."""
    wheel = index / f"thing-1-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in METADATA.items():
            archive.writestr(f"thing-1.dist-info/{name}", text.format(tag=tag))
    return f" --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}"


@pytest.mark.slow
def test_what_a_lock_lacks_is_said_for_each_platform_and_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    index, lock = tmp_path / "index", tmp_path / "lock.txt"
    index.mkdir()
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(index))
    monkeypatch.setattr(check_locks, "PLATFORMS", (GLIBC, MUSL))
    monkeypatch.setattr(check_locks, "PYTHONS", ("3.11", "3.14"))
    first = add_wheel(index, "cp311-cp311-manylinux_2_17_x86_64")
    second = add_wheel(index, "cp314-cp314-manylinux_2_17_x86_64")
    lock.write_text(f"thing==1{first}{second}\n")
    assert check_locks.main([str(lock)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said[:-1]] == [f"lock.txt, {MUSL}, Python {v}" for v in ("3.11", "3.14")]
    assert said[-1] == "4 combinations, 2 incomplete"
    hashes = first + second + add_wheel(index, "cp311-abi3-musllinux_1_2_x86_64")
    lock.write_text(f"thing==1{hashes}\n")
    assert check_locks.main([str(lock)]) == 0
    lock.write_text(f"thing==1{hashes.replace(first, first[:-8] + '0' * 8)}\n")
    assert check_locks.main([str(lock)]) == 1
    assert "Hash mismatch for `thing==1`" in capsys.readouterr().out
