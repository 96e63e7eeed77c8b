"""Narinfos: the signatures that one carries."""

from nix_autocache.nix import keys
from nix_autocache.nix.keys import JOB_PREFIX
from nix_autocache.nix.narinfo import NarFile, fingerprint, parse, render
from nix_autocache.nix.store import PathInfo
from nix_autocache.system.dataclass import replace
from tests.harness.samples import FILE, INFO, PATH


def test_a_narinfo_carries_the_stores_signatures_and_ours() -> None:
    key = keys.generate("ours-1")
    there = PathInfo(PATH, "", (PATH,), "sha256:1", 5, "", ("theirs-1:AA", "ours-1:old"))
    fields = parse(render(there, NarFile("nar/1.nar.zst", "zstd", "2", 4), key))
    assert fields["References"] == [PATH.base]
    assert fields["Sig"][0] == "theirs-1:AA"
    assert key.public.verifies(fingerprint(there), fields["Sig"][1])
    assert len(fields["Sig"]) == 2


def test_a_job_keys_signature_is_never_written() -> None:
    fetched = replace(INFO, signatures=(f"{JOB_PREFIX}12ab:AAAA", "other-1:AAAA"))
    for signing in (None, keys.generate("cache-1")):
        text = render(fetched, FILE, signing)
        assert JOB_PREFIX not in text
        assert "other-1:AAAA" in text
