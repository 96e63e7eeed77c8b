"""An embedded cache without signatures: what counts as being in it, and the view of it that one job's Nix reads."""

import os
from pathlib import Path

from nix_autocache.nix.keys import JOB_PREFIX, generate, parse_public
from nix_autocache.nix.narinfo import NarFile, fingerprint, parse, render
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.uploader import embedded_cache, view

STORE = "/nix/store"
HASH = "0" * 52


def info(letter: str, *references: str, signatures: tuple[str, ...] = ()) -> PathInfo:
    paths = tuple(StorePath(f"{STORE}/{each * 32}-{each}") for each in references)
    path = StorePath(f"{STORE}/{letter * 32}-{letter}")
    return PathInfo(path, "", paths, f"sha256:{HASH}", 120, "", signatures)


def put(cache: Path, given: PathInfo, text: str = "", archive: str = "nar/x.nar.zst") -> Path:
    (cache / "nar").mkdir(parents=True, exist_ok=True)
    (cache / "nar/x.nar.zst").touch()
    file = cache / f"{given.path.hash_part}.narinfo"
    file.write_text(text or render(given, NarFile(archive, "zstd", HASH, 9), None))
    return file


def names(cache: Path) -> set[str]:
    return {each.info.path.name for each in embedded_cache.read(cache, STORE)}


def test_what_others_packed_is_judged_file_by_file(tmp_path: Path) -> None:
    cache, outside = tmp_path / "cache", tmp_path / "outside"
    good = put(cache, info("a", "b")).read_text()
    outside.write_text(good.replace("a" * 32, "c" * 32))
    (cache / f"{'c' * 32}.narinfo").symlink_to(outside)
    os.mkfifo(cache / f"{'d' * 32}.narinfo")
    (cache / f"{'f' * 32}.narinfo").mkdir()
    put(cache, info("g"), good)
    put(cache, info("h"), archive="nar/missing.nar.zst")
    put(cache, info("i"), archive="../../../etc/passwd")
    put(cache, info("j"), archive="https://elsewhere/nar/x.nar.zst")
    put(cache, info("k"), "\0\xff" * 50)
    put(cache, info("l")).write_bytes(b"Sig: \xff\n" * 9)
    put(cache, info("m"), good.replace("a" * 32, "m" * 32) + f"StorePath: {STORE}/{'n' * 32}-n\n")
    put(cache, info("p")).write_text("StorePath: " + "x" * (2 << 20))
    (cache / "nar/link.nar.zst").symlink_to(outside)
    put(cache, info("q"), archive="nar/link.nar.zst")
    assert names(cache) == {"a"}
    assert embedded_cache.fingerprints([cache], STORE) == {info("a").path: fingerprint(info("a", "b"))}


def test_a_cache_that_is_a_link_or_is_not_there_is_empty(tmp_path: Path) -> None:
    put(tmp_path / "real", info("a"))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/nar").symlink_to(tmp_path / "real/nar")
    put(tmp_path / "file", info("a")).rename(tmp_path / "plain")
    assert [names(tmp_path / each) for each in ("real", "link", "inner", "plain", "none")] == [{"a"}, *[set()] * 4]


def test_a_view_is_signed_by_a_key_of_its_own_that_nothing_else_is(tmp_path: Path) -> None:
    stranger = generate("old-cache-1")
    caches = [tmp_path / "one", tmp_path / "two", tmp_path / "empty"]
    forged = f"{JOB_PREFIX}0123:{stranger.sign(b'x').partition(':')[2]}"
    put(caches[0], info("a", "b", signatures=(stranger.sign(fingerprint(info("a", "b"))), forged)))
    put(caches[1], info("c"))
    views, key = view.make(tmp_path / "views", caches, STORE)
    _, another = view.make(tmp_path / "more", caches, STORE)
    assert key.name.startswith(JOB_PREFIX)
    assert key.name != another.name
    assert [sorted(each.name for each in place.glob("*.narinfo")) for place in views] == [
        [f"{'a' * 32}.narinfo"],
        [f"{'c' * 32}.narinfo"],
    ]
    fields = parse((views[0] / f"{'a' * 32}.narinfo").read_text())
    assert len(fields["Sig"]) == 2, "the signature of another job is gone"
    assert key.verifies(fingerprint(info("a", "b")), fields["Sig"][1])
    assert (views[0] / fields["URL"][0]).exists()
    assert "Priority: 41" in (views[1] / "nix-cache-info").read_text()
    assert parse_public(str(key)) == key


def test_a_job_keys_signature_is_never_written(tmp_path: Path) -> None:
    key = generate("cache-1")
    fetched = info("a", signatures=(f"{JOB_PREFIX}12ab:AAAA", "other-1:AAAA"))
    for signing in (None, key):
        text = render(fetched, NarFile("nar/x", "zstd", HASH, 9), signing)
        assert JOB_PREFIX not in text
        assert "other-1:AAAA" in text
