"""Of an index that others wrote, Nix is given what somebody vouches for: a key that it trusts, or this job's."""

import json

import pytest

from nix_autocache.nix import keys
from nix_autocache.nix.narinfo import fingerprint, render
from nix_autocache.nix.realisation import Realisation
from nix_autocache.uploader.presence import fields_of
from nix_autocache.uploader.read_proxy.signatures import Signatures
from tests.harness.samples import FILE, INFO, KEY, OTHERS, PATH, SIGNED, UNSIGNED

JOB = keys.generate_job_key()
NAME = f"{PATH.hash_part}.narinfo"
NUMBER = f"sha256:{'a' * 64}!out"
REALISED = {"dependentRealisations": {}, "id": NUMBER, "outPath": PATH.base, "signatures": []}
SIGNING = Signatures("/nix/store", (), JOB)
TRUSTING = Signatures("/nix/store", (KEY.public,))


def signatures(narinfo: bytes | None) -> list[str]:
    return (fields_of(narinfo) or {}).get("Sig", [])


@pytest.mark.parametrize(
    "text", [UNSIGNED, SIGNED, render(INFO, FILE, OTHERS), UNSIGNED + "Sig: nix-autocache-job-1:AAAA\n"]
)
def test_the_jobs_key_signs_what_the_cache_holds_and_no_other_jobs_key_stays(text: str) -> None:
    found = signatures(SIGNING.passed(NAME, text.encode()))
    assert JOB.public.verifies(fingerprint(INFO), found[-1])
    assert found[:-1] == [each for each in signatures(text.encode()) if "nix-autocache-job-" not in each]


@pytest.mark.parametrize(
    "text",
    [
        *("", "<html>", SIGNED[:-8], SIGNED + SIGNED, SIGNED.replace("NarSize: 120", "NarSize: -1")),
        *(SIGNED.replace("/nix/store", "/other"), SIGNED.replace("References: ", "References: ../../etc ")),
    ],
    ids=range(7),
)
def test_nothing_is_signed_that_is_no_narinfo_of_this_store(text: str) -> None:
    assert SIGNING.passed(NAME, text.encode()) is None
    assert TRUSTING.passed(NAME, text.encode()) is None


def test_without_a_key_of_the_job_only_what_is_trusted_is_passed_on() -> None:
    addressed = f"{UNSIGNED}CA: fixed:r:sha256:{'0' * 52}\n"
    assert TRUSTING.passed(NAME, SIGNED.encode()) == SIGNED.encode()
    assert TRUSTING.passed(NAME, addressed.encode()) == addressed.encode(), "Nix compares it with its name"
    for text in (UNSIGNED, render(INFO, FILE, OTHERS), SIGNED.replace("NarSize: 120", "NarSize: 121")):
        assert TRUSTING.passed(NAME, text.encode()) is None


def test_the_jobs_key_signs_realisations() -> None:
    name = f"realisations/{NUMBER}.doi"
    signed = json.loads(SIGNING.passed(name, json.dumps(REALISED).encode()) or b"")
    (signature,) = signed.pop("signatures")
    assert JOB.public.verifies(json.dumps(signed, separators=(",", ":")).encode(), signature)
    elsewhere = {**REALISED, "outPath": "../x"}
    assert SIGNING.passed(name, b"[" * 100_000) is None
    wrongs: list[object] = [{**REALISED, "id": f"sha256:{'b' * 64}!out"}, elsewhere, [], "x" * 9]
    for wrong in wrongs:
        assert SIGNING.passed(name, json.dumps(wrong).encode()) is None


def test_without_a_key_of_the_job_a_realisation_needs_a_trusted_signature() -> None:
    """Nix verifies none of a realisation that it substitutes (drv-output-substitution-goal.cc)."""
    name = f"realisations/{NUMBER}.doi"
    unsigned = Realisation(PATH, "out", NUMBER, PATH)
    ours = unsigned.render(KEY)
    assert TRUSTING.passed(name, ours) == ours
    assert TRUSTING.passed(name, ours[:-2] + b',"x",1]}') == ours, "what is not valid is left out"
    moved = ours.replace(PATH.base.encode(), f"{'0' * 32}-evil".encode())
    for wrong in (json.dumps(REALISED).encode(), unsigned.render(OTHERS), moved, ours[:-2]):
        assert TRUSTING.passed(name, wrong) is None


def test_archives_and_other_objects_are_passed_on_as_they_are() -> None:
    for name in ("nar/x.nar.zst", "nix-cache-info", f"{PATH.hash_part}.ls"):
        assert SIGNING.passed(name, b"\x00x") == b"\x00x"
