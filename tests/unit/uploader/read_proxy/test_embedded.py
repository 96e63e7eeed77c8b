"""The embedded caches that one job's Nix reads, signed for it: what others may have left in them is never an error."""

import os
import threading
from pathlib import Path

import pytest

from nix_autocache.errors import CacheError
from nix_autocache.nix.keys import JOB_PREFIX, SecretKey, generate, generate_job_key
from nix_autocache.nix.narinfo import NarFile, fingerprint, parse, render
from nix_autocache.nix.realisation import Realisation
from nix_autocache.uploader.read_proxy.embedded import EmbeddedObjects
from tests.harness.embedded import HASH, STORE, info, put, put_what_others_left

DERIVATION = "sha256:" + "0" * 64


@pytest.fixture
def key() -> SecretKey:
    return generate_job_key()


@pytest.fixture
def caches(tmp_path: Path) -> list[Path]:
    return [tmp_path / "first", tmp_path / "second"]


@pytest.fixture
def objects(caches: list[Path], key: SecretKey) -> EmbeddedObjects:
    return EmbeddedObjects(caches, key, STORE)


def text(objects: EmbeddedObjects, name: str) -> bytes | None:
    content = objects.open(name)
    return None if content is None else b"".join(content.pieces)


def served(objects: EmbeddedObjects, letters: str) -> str:
    """Those of these paths whose narinfos it has."""
    return "".join(letter for letter in letters if objects.exists(f"{letter * 32}.narinfo"))


def realise(cache: Path, letter: str) -> str:
    """A realisation of the path, whose output has the path's name; the object's name."""
    made = Realisation(info(letter).path, letter, f"{DERIVATION}!{letter}", info(letter).path)
    (cache / "realisations").mkdir(exist_ok=True)
    (cache / made.name).write_bytes(made.render(None))
    return made.name


def test_each_narinfo_is_signed_for_this_job_and_no_other(
    caches: list[Path], objects: EmbeddedObjects, key: SecretKey
) -> None:
    stranger = generate("old-cache-1")
    forged = f"{JOB_PREFIX}0123:{stranger.sign(b'x').partition(':')[2]}"
    whole = info("a", "b", signatures=(stranger.sign(fingerprint(info("a", "b"))), forged))
    before = put(caches[1], whole).read_bytes()
    fields = parse((text(objects, f"{'a' * 32}.narinfo") or b"").decode())
    assert len(fields["Sig"]) == 2, "the signature of another job is gone"
    assert key.public.verifies(fingerprint(info("a", "b")), fields["Sig"][1])
    assert text(objects, fields["URL"][0]) == b"an x, 9 B"
    assert (caches[1] / f"{'a' * 32}.narinfo").read_bytes() == before, "nothing of this job is kept"


def test_an_empty_cache_is_a_cache_that_comes_after_nixos_own(objects: EmbeddedObjects) -> None:
    assert text(objects, "nix-cache-info") == b"StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 41\n"
    assert served(objects, "ab") == ""


def test_what_the_job_pushes_is_there_at_once(caches: list[Path], objects: EmbeddedObjects) -> None:
    assert served(objects, "a") == ""
    put(caches[1], info("a"))
    assert served(objects, "a") == "a"


def test_the_first_directory_that_has_a_path_wins_with_its_own_archive(
    caches: list[Path], objects: EmbeddedObjects
) -> None:
    """Equal names of archives prove nothing: who wrote one cache chose the names in it."""
    put(caches[0], info("a"))
    for letter in "ab":
        put(caches[1], info(letter))
    (caches[1] / "nar/x.nar.zst").write_bytes(b"different")
    found = {}
    for letter in "ab":
        (url,) = parse((text(objects, f"{letter * 32}.narinfo") or b"").decode())["URL"]
        found[letter] = text(objects, url)
    assert found == {"a": b"an x, 9 B", "b": b"different"}
    (caches[0] / "nar/x.nar.zst").write_bytes(b"cut")
    fresh = EmbeddedObjects(caches, generate_job_key(), STORE)
    assert parse((text(fresh, f"{'a' * 32}.narinfo") or b"").decode())["URL"] == ["1/nar/x.nar.zst"]


def test_what_others_left_there_is_missing_and_costs_no_descriptor(
    caches: list[Path], objects: EmbeddedObjects, tmp_path: Path
) -> None:
    cache, outside = caches[0], tmp_path / "outside"
    put_what_others_left(cache, outside)
    (cache / "nar/link.nar.zst").symlink_to(cache / "nar/x.nar.zst")
    put(cache, info("q"), archive="nar/link.nar.zst")
    os.mkfifo(cache / "nar/fifo")
    (cache / "nar/directory").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    assert served(objects, "abcdfghijklmnpq") == "a"
    for name in ("link.nar.zst", "fifo", "directory", "missing", "..", "../../outside", ".", ""):
        assert objects.open(f"0/nar/{name}") is None
    for name in ("nar/x.nar.zst", "2/nar/x.nar.zst", "999/nar/x.nar.zst", "0/nar/x.nar.zst/", "-1/nar/x.nar.zst"):
        assert not objects.exists(name)
    assert objects.exists("0/nar/x.nar.zst")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("inner", ["", "nar"])
def test_nothing_is_read_through_a_link_in_place_of_a_directory(
    caches: list[Path], objects: EmbeddedObjects, tmp_path: Path, inner: str
) -> None:
    put(tmp_path / "real", info("a"))
    name = realise(tmp_path / "real", "a")
    (tmp_path / "real" / inner).rename(tmp_path / "moved")
    (tmp_path / "real" / inner).symlink_to(tmp_path / "moved")
    (tmp_path / "real").rename(caches[0])
    assert served(objects, "a") == ""
    assert not objects.exists("0/nar/x.nar.zst")
    assert not objects.exists(name)


def test_what_leads_into_a_circle_is_missing_and_nothing_else(caches: list[Path], objects: EmbeddedObjects) -> None:
    """Also one through both caches; a path that refers to itself is none. Whichever is asked for first."""
    for letter, references in {"a": "b", "b": "c", "c": "b", "d": "d", "f": "gd", "g": "", "i": "jd", "z": "i"}.items():
        put(caches[0], info(letter, *references))
    put(caches[1], info("j", "i"))
    put(caches[1], info("k", "g", "y"))
    for order in ("abcdfgijkz", "zkjigfdcba"):
        fresh = EmbeddedObjects(caches, generate_job_key(), STORE)
        assert sorted(served(fresh, order)) == list("dfgk")
    assert served(objects, "d") == "d"


def test_a_chain_of_thousands_is_judged(caches: list[Path], objects: EmbeddedObjects) -> None:
    put(caches[0], info("a"))
    paths = [info("a").path]
    for number in range(3000):
        path = type(paths[0])(f"{STORE}/{number:032d}-n")
        made = type(info("a"))(path, "", (paths[-1],), f"sha256:{HASH}", 120, "", ())
        put(caches[0], made)
        paths.append(path)
    assert objects.exists(f"{paths[-1].hash_part}.narinfo")


def test_what_changes_after_it_was_judged_is_missing(caches: list[Path], objects: EmbeddedObjects) -> None:
    put(caches[0], info("a"))
    put(caches[0], info("b", "a"))
    assert served(objects, "ab") == "ab"
    put(caches[0], info("a", "b"))
    assert served(objects, "ab") == "b"


def test_an_archive_that_is_cut_while_it_is_read_is_an_error(caches: list[Path], objects: EmbeddedObjects) -> None:
    put(caches[0], info("a"))
    archive = caches[0] / "nar/x.nar.zst"
    archive.write_bytes(b"x" * (1 << 20))
    content = objects.open("0/nar/x.nar.zst")
    assert content
    assert content.size == 1 << 20
    assert len(next(content.pieces)) < content.size
    os.truncate(archive, 300_000)
    with pytest.raises(CacheError, match="shortened"):
        list(content.pieces)


def test_realisations_are_signed_if_their_path_is_there(
    caches: list[Path], objects: EmbeddedObjects, key: SecretKey
) -> None:
    put(caches[1], info("a"))
    put(caches[1], info("b", "c"))
    put(caches[1], info("c", "b"))
    there, circle, missing = (realise(caches[1], letter) for letter in "abd")
    expected = Realisation(info("a").path, "a", f"{DERIVATION}!a", info("a").path).render(key)
    assert text(objects, there) == expected
    assert [objects.exists(name) for name in (circle, missing)] == [False, False]
    (caches[1] / there).rename(caches[1] / there.replace("!a", "!z"))
    os.mkfifo(caches[1] / there)
    assert [objects.exists(name) for name in (there, there.replace("!a", "!z"))] == [False, False]
    assert not objects.exists("realisations/../secret.doi")


def test_many_may_ask_at_once(caches: list[Path], objects: EmbeddedObjects) -> None:
    for letter, references in (("a", "b"), ("b", "c"), ("c", "d"), ("d", "")):
        put(caches[0], info(letter, *references))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(served(objects, "abcd"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["abcd"] * 8


def test_narinfos_that_were_signed_say_no_more_than_before(caches: list[Path], objects: EmbeddedObjects) -> None:
    """All but URL and signature is what the cache's narinfo says."""
    put(caches[0], info("a", "b"))
    plain = parse(render(info("a", "b"), NarFile("0/nar/x.nar.zst", "zstd", HASH, 9), None))
    signed = parse((text(objects, f"{'a' * 32}.narinfo") or b"").decode())
    del signed["Sig"]
    assert signed == plain
