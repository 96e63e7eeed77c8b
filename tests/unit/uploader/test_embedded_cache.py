"""An embedded cache without signatures: the entries that count as being in it."""

from pathlib import Path

from nix_autocache.nix.narinfo import fingerprint
from nix_autocache.uploader import embedded_cache
from tests.harness.embedded import STORE, info, put, put_what_others_left


def names(cache: Path) -> set[str]:
    return {each.info.path.name for each in embedded_cache.read(cache, STORE)}


def test_what_others_packed_is_judged_file_by_file(tmp_path: Path) -> None:
    cache, outside = tmp_path / "cache", tmp_path / "outside"
    good = put_what_others_left(cache, outside)
    put(cache, info("m"), good.replace("a" * 32, "m" * 32) + f"StorePath: {STORE}/{'n' * 32}-n\n")
    (cache / "nar/link.nar.zst").symlink_to(outside)
    put(cache, info("q"), archive="nar/link.nar.zst")
    (cache / "nar/short.nar.zst").write_bytes(b"8 bytes.")
    put(cache, info("r"), archive="nar/short.nar.zst")
    assert names(cache) == {"a"}
    assert embedded_cache.fingerprints([cache], STORE) == {info("a").path: fingerprint(info("a", "b"))}


def test_a_cache_that_is_a_link_or_is_not_there_is_empty(tmp_path: Path) -> None:
    put(tmp_path / "real", info("a"))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/nar").symlink_to(tmp_path / "real/nar")
    put(tmp_path / "file", info("a")).rename(tmp_path / "plain")
    assert [names(tmp_path / each) for each in ("real", "link", "inner", "plain", "none")] == [{"a"}, *[set()] * 4]
