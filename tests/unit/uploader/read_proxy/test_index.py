"""Of a run index nothing is served that Nix would not take, whoever wrote it, and nothing whose archive is gone."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.caches import run_codec
from nix_autocache.caches.run_index import RunIndex
from nix_autocache.nix import keys
from nix_autocache.nix.narinfo import NarFile, fingerprint, render
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.uploader.read_proxy import index
from nix_autocache.uploader.read_proxy.index import Index
from nix_autocache.uploader.read_proxy.signatures import Signatures
from tests.harness.object_cache import FaultyCache, base, hash_part
from tests.harness.samples import FILE, INFO, KEY, OTHERS, PATH, SIGNED, UNSIGNED
from tests.harness.soak import seeds
from tests.harness.strategies import texts
from tests.harness.waiting import wait_for


def loaded(*texts: str, store_dir: str = "/nix/store") -> Index:
    return loaded_all([[*texts]], store_dir)


def loaded_all(indexes: list[list[str]], store_dir: str = "/nix/store") -> Index:
    """From an object each."""
    objects = {str(n): run_codec.pack({"kind": "index"}, "\n".join(each)) for n, each in enumerate(indexes)}
    made = Index(Signatures(store_dir, [KEY.public, OTHERS.public]))
    made.load(FaultyCache(objects), list(objects))  # type: ignore[arg-type]
    return made


def narinfo(number: int, *references: int, archive: int | None = None, store_dir: str = "/nix/store") -> str:
    paths = [StorePath(f"{store_dir}/{base(each)}") for each in (number, *references)]
    known = PathInfo(paths[0], "", tuple(sorted(paths[1:])), f"sha256:{'0' * 52}", 120, "", ())
    return render(known, NarFile(f"nar/{number if archive is None else archive}.nar", "none", "1" * 52, 99), KEY)


def known(of: Index, count: int) -> set[int]:
    return {number for number in range(count) if of.get(hash_part(number))}


def test_what_a_trusted_key_signed_is_served_word_for_word() -> None:
    for text in (SIGNED, render(INFO, FILE, OTHERS)):
        found = loaded(text).get(PATH.hash_part)
        assert found
        assert found.text.decode() == text
        assert found.hints.archive
        assert found.hints.archive.name == FILE.url


SIGNATURE = SIGNED[SIGNED.index("Sig: ") :]
FORGED = {
    "unsigned": UNSIGNED,
    "of another key": render(INFO, FILE, keys.generate("foreign-1")),
    "of another key of that name": render(INFO, FILE, keys.generate(KEY.name)),
    "of a job's key": render(INFO, FILE, keys.generate_job_key()),
    "over another size": SIGNED.replace("NarSize: 120", "NarSize: 121"),
    "over another hash": SIGNED.replace("0" * 52, "2" * 52),
    "over other references": SIGNED.replace(f"References: {INFO.references[0].base}", "References: "),
    "over another path": SIGNED.replace(PATH.base, f"{PATH.base}b"),
    "cut": SIGNED[:-8] + "\n",
    "with a web page before": f"<html>\n{SIGNED}",
    "with an archive elsewhere": SIGNED.replace(FILE.url, "https://example.org/nar/x.nar.zst"),
    "with an archive above": SIGNED.replace(FILE.url, "../nar/x.nar.zst"),
    "without a size of its archive": SIGNED.replace("FileSize: 99\n", ""),
    "with two sizes": SIGNED.replace("NarSize: 120\n", "NarSize: 120\nNarSize: 120\n"),
    "with a compression that is none": SIGNED.replace("Compression: zstd", "Compression: zip"),
}


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED)
def test_a_forged_narinfo_is_never_served(text: str) -> None:
    made = loaded(text)
    for _ in range(2):
        assert made.get(PATH.hash_part) is None
    assert text != SIGNED, "it is another one"


def test_a_narinfo_of_another_store_is_not_served() -> None:
    assert loaded(narinfo(1, store_dir="/other/store")).get(hash_part(1)) is None
    assert loaded(narinfo(1, store_dir="/other/store"), store_dir="/other/store").get(hash_part(1))
    assert loaded(narinfo(1), store_dir="/other/store").get(hash_part(1)) is None


def test_without_keys_nothing_is_served() -> None:
    made = Index(Signatures("/nix/store", []))
    cache = FaultyCache({"a": RunIndex.of([SIGNED]).encode()})
    made.load(cache, ["a"])  # type: ignore[arg-type]
    assert made.get(PATH.hash_part) is None


@pytest.mark.soak
@settings(max_examples=seeds(1000))
@given(st.lists(texts(SIGNED.encode()), max_size=4))
def test_what_is_served_has_a_signature_over_what_it_says(odd: list[bytes]) -> None:
    made = loaded(*(each.decode("utf-8", "replace") + "\n" for each in odd))
    if found := made.get(PATH.hash_part):
        lines = dict(line.partition(": ")[::2] for line in found.text.decode().splitlines())
        info = PathInfo(PATH, "", INFO.references, lines["NarHash"], int(lines["NarSize"]), "", ())
        assert lines["References"].split() == [each.base for each in INFO.references]
        signatures = [line[5:] for line in found.text.decode().splitlines() if line.startswith("Sig: ")]
        assert any(key.public.verifies(fingerprint(info), each) for key in (KEY, OTHERS) for each in signatures)


def test_the_jobs_own_index_comes_first() -> None:
    own, other = narinfo(1, archive=7), narinfo(1, archive=8)
    found = loaded_all([[own], [other, narinfo(2)]]).get(hash_part(1))
    assert found
    assert found.text.decode() == own
    assert known(loaded_all([[own], [other, narinfo(2)]]), 4) == {1, 2}


def test_all_indexes_together_are_no_larger_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LARGEST", 3 * len(narinfo(0)) + 10)
    assert known(loaded_all([[narinfo(0), narinfo(1)], [narinfo(1), narinfo(2), narinfo(3)]]), 4) == {0, 1, 2}


@pytest.mark.parametrize("fault", ["gone", "changed", "cut", "longer", "broken", "busy", "refused", "bug"])
def test_an_index_that_cannot_be_read_leaves_the_other(fault: str, capfd: pytest.CaptureFixture[str]) -> None:
    cache = FaultyCache({"a": RunIndex.of([narinfo(1)]).encode(), "b": RunIndex.of([narinfo(2)]).encode()})
    cache.faults["a"] = fault
    made = Index(Signatures("/nix/store", [KEY.public]))
    made.load(cache, ["a", "b"])  # type: ignore[arg-type]
    assert known(made, 3) == {2}
    said = capfd.readouterr()
    assert len((said.out + said.err).splitlines()) == (fault != "gone")


def test_an_archive_that_is_gone_takes_all_that_refers_to_it() -> None:
    """0 -> 1 -> 2 -> 3, 4 -> 2, 5 -> 3; 6 has the archive of 2."""
    texts = [narinfo(n, n + 1) for n in range(3)] + [narinfo(3), narinfo(4, 2), narinfo(5, 3), narinfo(6, archive=2)]
    made = loaded(*texts)
    assert known(made, 7) == set(range(7))
    assert set(made.forget("nar/2.nar")) == {hash_part(2), hash_part(6)}
    assert known(made, 7) == {3, 5}
    assert made.forget("nar/2.nar") == []
    for name in ("nar/unknown.nar", f"{hash_part(3)}.narinfo", "nix-cache-info"):
        assert not made.forget(name)
    assert known(made, 7) == {3, 5}


def test_what_refers_to_itself_is_forgotten_too() -> None:
    made = loaded(narinfo(1, 1, 2), narinfo(2))
    assert made.forget("nar/2.nar")
    assert known(made, 3) == set()


def test_a_closure_has_references_last_and_each_path_once() -> None:
    made = loaded(narinfo(0, 0, 1, 2), narinfo(1, 2, 3), narinfo(2, 3), narinfo(3), narinfo(4))
    found, others = made.closure([base(0), base(9)], lambda base: False)
    order = [hints.base for hints in found]
    assert sorted(order) == [base(n) for n in range(4)]
    assert all(order.index(hints.base) < order.index(each) for hints in found for each in hints.references)
    assert others == [base(9)]
    found, others = made.closure([base(0)], lambda each: each in {base(1), base(2)})
    assert ([hints.base for hints in found], others) == ([base(0)], [])


def test_a_loop_of_references_ends() -> None:
    made = loaded(narinfo(0, 1), narinfo(1, 0))
    found, _ = made.closure([base(0)], lambda base: False)
    assert sorted(hints.base for hints in found) == [base(0), base(1)]
    made.forget("nar/0.nar")
    assert known(made, 2) == set()


def test_a_question_waits_for_the_index_and_not_for_one_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = run_codec.pack({"kind": "index"}, SIGNED)
    late = threading.Event()
    cache = FaultyCache({"late": packed}, late={"late": late})
    monkeypatch.setattr(index, "_PATIENCE", 0.01)
    impatient = Index(Signatures("/nix/store", [KEY.public]))
    impatient.load_soon(cache, ["late"], lambda: None)  # type: ignore[arg-type]
    assert impatient.get(PATH.hash_part) is None
    monkeypatch.setattr(index, "_PATIENCE", 30)
    patient = Index(Signatures("/nix/store", [KEY.public]))
    patient.load_soon(cache, ["late"], lambda: None)  # type: ignore[arg-type]
    threading.Timer(0.05, late.set).start()
    assert patient.get(PATH.hash_part)
    wait_for(lambda: impatient.get(PATH.hash_part) is not None, "the index")
    without = Index(Signatures("/nix/store", [KEY.public]))
    without.load_soon(cache, [], lambda: None)  # type: ignore[arg-type]
    assert without.get(PATH.hash_part) is None


@pytest.mark.parametrize("texts", [[], [SIGNED]])
def test_something_is_begun_for_an_index_only_if_it_has_something(texts: list[str]) -> None:
    calls: list[str] = []
    cache = FaultyCache({"index": run_codec.pack({"kind": "index"}, "".join(texts))})
    Index(Signatures("/nix/store", [KEY.public])).load(cache, ["index"], lambda: calls.append("filled"))  # type: ignore[arg-type]
    assert calls == ["filled"] * len(texts)
