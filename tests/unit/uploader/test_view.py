"""The view of embedded caches that one job's Nix reads."""

from pathlib import Path

from nix_autocache.nix.keys import JOB_PREFIX, generate, parse_public
from nix_autocache.nix.narinfo import fingerprint, parse
from nix_autocache.uploader import view
from tests.harness.embedded import STORE, info, put


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
