"""What waits for what: realisations for the paths that they name, entries for both."""

from nix_autocache.nix.narinfo import Uploaded
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.queue.entry import Entry
from nix_autocache.uploader.ledger import Ledger
from nix_autocache.uploader.plan import Plan
from tests.harness.paths import info, path

OUT = info("ca")
DERIVATION = path("ca.drv")
REALISED = StorePath(f"{DERIVATION}!out")


def admitted(ledger: Ledger, *candidates: PathInfo, name: str = DERIVATION.base) -> list[Uploaded]:
    """What may be published at once."""
    planned = Plan(
        entries=(Entry(name, (OUT.path,)),),
        outputs={name: (OUT.path,)},
        candidates=candidates,
        settled=(),
        realised={},
    )
    return ledger.admit(planned, {name: [(Uploaded(REALISED, 0, b"", what="realised"), OUT.path)]})[1]


def paths(ready: list[Uploaded]) -> list[StorePath]:
    return [each.path for each in ready]


def test_a_realisation_is_published_after_its_path_and_before_its_entry_ends() -> None:
    ledger, out = Ledger(), Uploaded(OUT.path, 5, b"narinfo")
    assert admitted(ledger, OUT) == []
    assert ledger.uploaded(out) == [out]
    [realised] = ledger.published(out)
    assert realised.path == REALISED
    outcomes, finished = ledger.take_settled()
    assert [outcome.path for outcome in outcomes] == [OUT.path]
    assert finished == []
    ledger.published(realised)
    outcomes, finished = ledger.take_settled()
    assert outcomes == []
    assert [pending.reason for pending in finished] == [""]
    assert ledger.progress().counts == {"pushed": 1}


def test_a_realisation_of_what_is_there_already_is_published_at_once() -> None:
    ledger = Ledger()
    admitted(ledger, OUT)
    for realised in ledger.present([OUT.path]):
        ledger.published(realised)
    assert paths(admitted(ledger, name=path("again.drv").base)) == [REALISED]


def test_a_realisation_shares_the_fate_of_its_path_in_silence() -> None:
    ledger = Ledger()
    admitted(ledger, OUT)
    ledger.failed(OUT.path, "no")
    assert ledger.in_work == 0
    outcomes, finished = ledger.take_settled()
    assert [pending.reason for pending in finished] == ["no"]
    assert [outcome.path for outcome in outcomes] == [OUT.path]


def test_a_realisation_that_is_refused_fails_its_entry_and_is_reported() -> None:
    ledger = Ledger()
    admitted(ledger, OUT)
    ledger.published(Uploaded(OUT.path, 5, b""))
    ledger.failed(REALISED, "no")
    assert [pending.reason for pending in ledger.take_settled()[1]] == ["no"]
    assert ledger.progress().counts == {"pushed": 1, "failed": 1}


def test_a_path_is_published_once_however_often_it_is_uploaded() -> None:
    ledger, out = Ledger(), Uploaded(OUT.path, 5, b"")
    admitted(ledger, OUT)
    assert ledger.uploaded(out) == [out]
    assert ledger.uploaded(out) == []
    ledger.published(out)
    assert ledger.uploaded(out) == []


def test_an_entry_is_not_begun_again_before_it_has_left_the_queue() -> None:
    ledger = Ledger()
    ledger.reject([Entry("bad.drv", ())], "no")
    assert [pending.reason for pending in ledger.take_settled()[1]] == ["no"]
    assert ledger.entries() == {"bad.drv"}
    ledger.forget_entry("bad.drv")
    assert ledger.entries() == set()


def test_what_is_forgotten_is_unknown_and_what_is_in_work_stays() -> None:
    ledger, other = Ledger(), info("other")
    admitted(ledger, OUT)
    ledger.failed(OUT.path, "no")
    admitted(ledger, other)
    ledger.forget_failures()
    assert OUT.path not in ledger.known
    ledger.present([other.path])
    ledger.forget_failures()
    assert other.path in ledger.known
    ledger.forget_settled()
    assert other.path not in ledger.known


def test_the_drain_is_woken_by_what_it_has_to_write_down() -> None:
    ledger = Ledger()
    admitted(ledger, OUT, info("other"))
    ledger.failed(OUT.path, "no")
    assert ledger.changed.is_set()
