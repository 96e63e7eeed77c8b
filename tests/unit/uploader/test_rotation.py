"""What a new key signs: what a valid signature of an old key covers, and nothing else."""

import gzip

import pytest

from nix_autocache.nix import keys, realisation
from nix_autocache.nix.narinfo import NarFile, fingerprint, render
from nix_autocache.nix.realisation import Realisation
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.system.dataclass import replace
from nix_autocache.uploader import presence
from nix_autocache.uploader.rotation import Rotation, What

STORE = "/nix/store"
OLD, NEW, OTHER = keys.generate("cache-1"), keys.generate("cache-2"), keys.generate("elsewhere-1")
IMPOSTOR = keys.generate("cache-1")  # another key of the same name
PATH = StorePath(f"{STORE}/{'a' * 32}-one")
INFO = PathInfo(PATH, "", (StorePath(f"{STORE}/{'b' * 32}-two"),), f"sha256:{'0' * 52}", 10, "", ())
FILE = NarFile("nar/x.nar.zst", "zstd", "0" * 52, 7)
ROTATION = Rotation(new=NEW, old=[OLD.public], store_dir=STORE)
REMOVING = replace(ROTATION, remove_old=True)


def text(*signed_by: keys.SecretKey, over: PathInfo = INFO, **changes: str) -> bytes:
    """The narinfo, with signatures over what `over` says."""
    signatures = tuple(key.sign(fingerprint(over)) for key in signed_by)
    return render(replace(INFO, signatures=signatures, **changes), FILE, None).encode()  # type: ignore[arg-type]


def sign(content: bytes, rotation: Rotation = ROTATION) -> tuple[What, list[str]]:
    """What became of it, and the names of the keys whose signatures are valid then."""
    signed = rotation.narinfo(content, PATH.hash_part)
    fields = presence.fields_of(signed.content or content)
    info = presence.path_info(fields, PATH) if fields else None
    known = (OLD, NEW, OTHER)
    return signed.what, [key.name for key in known if info and presence.is_signed(info, [key.public])]


def test_what_the_old_key_signed_gets_the_new_signature_beside_it() -> None:
    content = text(OLD, OTHER)
    assert sign(content) == (What.SIGNED, ["cache-1", "cache-2", "elsewhere-1"])
    written = ROTATION.narinfo(content, PATH.hash_part).content or b""
    new = f"Sig: {NEW.sign(fingerprint(INFO))}\n".encode()
    assert written.replace(new, b"") == content, "all else stays as it was"


def test_a_second_time_changes_nothing() -> None:
    once = ROTATION.narinfo(text(OLD), PATH.hash_part).content or b""
    again = ROTATION.narinfo(once, PATH.hash_part)
    assert (again.what, again.content) == (What.THERE, None)


UNCOVERED = {
    "no signature": text(),
    "of another key": text(OTHER),
    "of another key of that name": text(IMPOSTOR),
    "over another hash": text(OLD, over=replace(INFO, nar_hash=f"sha256:{'1' * 52}")),
    "over other references": text(OLD, over=replace(INFO, references=())),
    "over another size": text(OLD, over=replace(INFO, nar_size=11)),
    "of another path": text(OLD, over=replace(INFO, path=StorePath(f"{STORE}/{'a' * 32}-other"))),
    "no valid base64": text(OLD).replace(b"Sig: cache-1:", b"Sig: cache-1:AAAA"),
    "content-addressed only": text(ca=f"fixed:r:sha256:{'0' * 52}"),
}
DAMAGED = {
    "cut": text(OLD)[:-20],
    "cut at a line": b"".join(text(OLD).splitlines(keepends=True)[:3]),
    "empty": b"",
    "a page": b"<!doctype html>\n<p>Log in</p>\n",
    "twice the same field": text(OLD) + b"NarSize: 10\n",
    "of another store": text(OLD).replace(b"/nix/store", b"/gnu/store"),
    "under another name": text(OLD).replace(b"a" * 32, b"c" * 32),
    "not text": b"\xff\xfe" + text(OLD),
}


@pytest.mark.parametrize("rotation", [ROTATION, REMOVING], ids=["beside", "instead"])
@pytest.mark.parametrize(
    ("content", "what"),
    [*((each, What.UNCOVERED) for each in UNCOVERED.values()), *((each, What.DAMAGED) for each in DAMAGED.values())],
    ids=[*UNCOVERED, *DAMAGED],
)
def test_nothing_else_is_signed_or_changed(content: bytes, what: What, rotation: Rotation) -> None:
    signed = rotation.narinfo(content, PATH.hash_part)
    assert (signed.what, signed.content) == (what, None)


def test_a_forged_signature_of_the_new_key_is_replaced() -> None:
    forged = text(OLD, keys.generate("cache-2"))
    written = ROTATION.narinfo(forged, PATH.hash_part).content or b""
    assert sign(forged) == (What.SIGNED, ["cache-1", "cache-2"])
    assert written.count(b"Sig: cache-2:") == 1


def test_old_signatures_go_only_when_that_was_asked_for_and_only_those() -> None:
    assert sign(text(OLD, OTHER), REMOVING) == (What.SIGNED, ["cache-2", "elsewhere-1"])
    assert sign(text(OLD, NEW), REMOVING) == (What.THERE, ["cache-2"])
    assert REMOVING.narinfo(text(NEW), PATH.hash_part).content is None


def test_readers_find_the_signature_among_more_than_they_look_at() -> None:
    """`presence` and others read 32 at most."""
    others = [keys.generate(f"other-{number}") for number in range(31)]
    assert sign(text(OLD, *others)) == (What.SIGNED, ["cache-1", "cache-2"])


@pytest.mark.parametrize("letter", ["\u2028", "\x0c", "\x85", "\r"])
def test_a_line_ends_where_nix_ends_it(letter: str) -> None:
    """Else the signature would be part of another line's value."""
    content = text(OLD).replace(b"Sig: ", f"System: x{letter}Sig: cache-2:x\nSig: ".encode(), 1)
    assert sign(content) == (What.SIGNED, ["cache-1", "cache-2"])
    assert f"System: x{letter}Sig: cache-2:x\n".encode() in (ROTATION.narinfo(content, PATH.hash_part).content or b"")


def test_a_compressed_narinfo_is_read() -> None:
    assert sign(gzip.compress(text(OLD))) == (What.SIGNED, ["cache-1", "cache-2"])


def test_realisations_alike() -> None:
    number = f"sha256:{'0' * 64}!out"
    plain = Realisation(PATH, "out", number, PATH)
    written = ROTATION.realisation(plain.render(OLD), number)
    assert written.what is What.SIGNED
    found = realisation.parse(written.content or b"", number, STORE)
    assert found
    assert all(any(key.public.verifies(plain.fingerprint, each) for each in found.signatures) for key in (OLD, NEW))
    assert ROTATION.realisation(written.content or b"", number).what is What.THERE
    assert ROTATION.realisation(plain.render(IMPOSTOR), number).what is What.UNCOVERED
    assert ROTATION.realisation(b"{", number).what is What.DAMAGED
    gone = REMOVING.realisation(written.content or b"", number)
    assert b"cache-1" not in (gone.content or b"cache-1")
    assert REMOVING.realisation(gone.content or b"", number).content is None
