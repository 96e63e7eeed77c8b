"""Any byte of Nix's answer for a path may be wrong; that is an error of this path alone."""

from pathlib import Path

import pytest

from nix_autocache.errors import StoreError, one_line
from nix_autocache.nix import store_client as store_module
from nix_autocache.nix.store import Nix, PathInfo, StorePath
from nix_autocache.nix.store_client import StoreClient
from tests.harness.nix_daemon import DIE, HANG, LAST, LOGGED, FakeNix, answer, number, refusal, text

HASH = b"0" * 64
WELL_FORMED = b"theirs-1:" + b"A" * 86 + b"=="
BAD = {
    "a reference that is no store path": answer(HASH, 5, [b"/etc/passwd"]),
    "a reference that is no text": answer(HASH, 5, [b"\xff\xfe"]),
    "a hash that is no text": answer(b"\xff" * 64, 5),
    "a hash that is too long": answer(b"0" * 65, 5),
    "no size": answer(HASH, 0),
    "an impossible size": answer(HASH, (1 << 64) - 1),
    "a content address of two lines": answer(HASH, 5, ca=b"fixed:r:sha256:0\nSig: evil"),
    "a content address of a megabyte": answer(HASH, 5, ca=b"f" * (1 << 20)),
    "a refusal that is no text": refusal(b"\xff\x1b[31m"),
    "a refusal of ten megabytes": refusal(b"x" * (10 << 20)),
    "a size of 2^64 bytes": number(LAST) + number(1) + number((1 << 64) - 1),
    "2^60 texts": number(LAST) + number(1) + text(b"") + text(HASH) + number(1 << 60),
    "yes, no and more": number(LAST) + number(7),
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "an end": DIE,
    "no answer at all": b"",
    "half an answer, then silence": answer(HASH, 5)[:40],
}
GOOD = {
    "signatures of any bytes": answer(
        HASH, 5, [], [b"evil-1:\xff\xfe", b"x", WELL_FORMED, b"evil-2:AAAA\nURL: nar/evil"]
    ),
    "a signature of 20 megabytes": answer(HASH, 5, [], [b"A" * (20 << 20), WELL_FORMED]),
    "ten thousand signatures": answer(HASH, 5, [], [WELL_FORMED, *(b"junk-%d" % i for i in range(10_000))]),
    "a deriver of any bytes": answer(HASH, 5, [], [WELL_FORMED], deriver=b"/nix/store/\xff"),
    "a log before": number(LOGGED) + text(b"\xff" * 9000) + answer(HASH, 5, [], [WELL_FORMED]),
    "an activity before": b"".join(
        [number(0x53545254), number(1), number(2), number(3), text(b"copying"), number(1), number(1), text(b"x")]
    )
    + number(0)
    + number(0x53544F50)
    + number(1)
    + answer(HASH, 5, [], [WELL_FORMED]),
}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNix:
    monkeypatch.setattr(store_module, "_ANSWER", 0.5)
    made = FakeNix(tmp_path / "nix")
    made.create()
    return made


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_answer_is_the_error_of_its_path_alone(fake: FakeNix, kind: str) -> None:
    paths = [StorePath(fake.add(name)) for name in ("a", "bad", "c")]
    fake.says(paths[1], BAD[kind])
    with StoreClient(fake.nix) as store:
        answers = store.answers(paths)
    assert [type(answers[path]) for path in paths] == [PathInfo, StoreError, PathInfo]
    assert one_line(answers[paths[1]]).isprintable()  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", GOOD)
def test_what_others_may_add_to_a_path_is_left_out_where_it_is_no_signature(fake: FakeNix, kind: str) -> None:
    path = StorePath(fake.add("x"))
    fake.says(path, GOOD[kind])
    with StoreClient(fake.nix) as store:
        info = store.answers([path])[path]
    assert isinstance(info, PathInfo)
    assert info.signatures == (WELL_FORMED.decode(),)
    assert info.deriver == ""


@pytest.mark.slow
def test_a_path_that_hangs_the_daemon_does_not_hold_back_the_rest(fake: FakeNix) -> None:
    paths = [StorePath(fake.add(str(number))) for number in range(150)]
    fake.says(paths[3], HANG)
    fake.says(paths[140], DIE)
    with StoreClient(fake.nix) as store:
        answers = store.answers(paths)
    assert [path for path in paths if isinstance(answers[path], StoreError)] == [paths[3], paths[140]]
    assert "no answer within" in str(answers[paths[3]])


@pytest.mark.parametrize("program", ["", "#!/bin/sh\nexit 1\n", "#!/bin/sh\necho no daemon\n", "#!/nowhere\n"])
def test_a_nix_that_cannot_be_asked_at_all_is_said_once(fake: FakeNix, program: str) -> None:
    (fake.directory / "bin" / "nix-daemon").write_text(program)
    with StoreClient(fake.nix) as store, pytest.raises(StoreError, match="nix-daemon --stdio: "):
        store.answers([StorePath(fake.path(str(number))) for number in range(1000)])


OUT, DEV = (f"/nix/store/{letter * 32}-x".encode() for letter in "ab")
OUTPUTS = {
    "none": (number(0), []),
    "two": (number(2) + text(b"out") + text(OUT) + text(b"dev") + text(DEV), [OUT, DEV]),
    "one that is not built": (number(2) + text(b"out") + text(OUT) + text(b"dev") + text(b""), [OUT]),
    "one that is elsewhere": (number(2) + text(b"out") + text(b"/etc/passwd") + text(b"dev") + text(DEV), [DEV]),
    "one that is no text": (number(1) + text(b"out") + text(b"\xff"), []),
    "fewer than were announced": (number(3) + text(b"out") + text(OUT), []),
    "2^60": (number(1 << 60) + text(b"out") + text(OUT), []),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_the_outputs_of_a_derivation_are_those_that_are_store_paths(fake: FakeNix, kind: str) -> None:
    said, outputs = OUTPUTS[kind]
    derivation, path = StorePath("/nix/store/x.drv"), StorePath(fake.add("x"))
    fake.says(derivation, number(LAST) + said)
    with StoreClient(Nix(fake.nix.bin)) as store:
        assert store.outputs_of(derivation) == [each.decode() for each in outputs]
        fake.says(derivation, refusal(b"no such derivation"))
        assert store.outputs_of(derivation) == []
        assert path in store.answers([path]), "a conversation that broke off is begun again"
