"""What waits for what: realisations for the paths that they name, entries for both; and what a plan leaves out."""

from pathlib import Path

from nix_autocache.nix.narinfo import Brought
from nix_autocache.nix.realisation import Realisation
from nix_autocache.nix.store import Nix, PathInfo, Store, StorePath
from nix_autocache.queue.directory import Entry
from nix_autocache.queue.outcomes import Outcome
from nix_autocache.uploader.ledger import Ledger
from nix_autocache.uploader.plan import Plan, Policy, plan
from nix_autocache.uploader.vouching import Vouching

LETTERS = "0123456789abcdfghijklmnpqrsvwxyz"
DERIVATION = StorePath(f"/nix/store/{LETTERS}-ca.drv")
REALISED = StorePath(f"{DERIVATION}!out")


def info(name: str, *references: StorePath) -> PathInfo:
    path = StorePath(f"/nix/store/{LETTERS[::-1]}-{name}")
    return PathInfo(path, "", references, f"sha256:{'0' * 52}", 120, "", (), ultimate=True)


OUT = info("ca")


class Known(Store):
    """A store that knows some paths."""

    def __init__(self, *infos: PathInfo) -> None:
        super().__init__(Nix(Path("/nonexistent")))
        self._infos = {each.path: each for each in infos}

    def answers(self, paths):  # type: ignore[no-untyped-def]
        return {path: self._infos[path] for path in paths if path in self._infos}


def realise(realised: Realisation) -> Brought:
    return Brought(StorePath(f"{realised.derivation}!{realised.output}"), 0, b"", what="realised", name=realised.name)


def admitted(ledger: Ledger, *candidates: PathInfo, name: str = DERIVATION.base) -> None:
    planned = Plan(
        outputs={name: (OUT.path,)},
        candidates=candidates,
        settled=(),
        realised={name: [Realisation(DERIVATION, "out", "sha256:0!out", OUT.path)]},
    )
    ledger.admit([Entry(name, (OUT.path,))], planned, realise)


def test_a_realisation_is_published_after_its_path_and_before_its_entry_ends() -> None:
    ledger = Ledger()
    admitted(ledger, OUT)
    assert ledger.take_ready() == []
    ledger.brought(Brought(OUT.path, 5, b"narinfo"))
    assert [ready.path for ready in ledger.take_ready()] == [OUT.path]
    ledger.settle(OUT.path, Outcome(OUT.path, "pushed", 5))
    assert [ready.path for ready in ledger.take_ready()] == [REALISED]
    assert ledger.finished == []
    ledger.settle(REALISED, Outcome(REALISED, "realised"))
    assert [pending.reason for pending in ledger.finished] == [""]
    assert [record.path for record in ledger.records] == [OUT.path]
    assert ledger.counts == {"pushed": 1}


def test_a_realisation_of_what_is_there_already_is_published_at_once() -> None:
    ledger = Ledger()
    admitted(ledger, OUT)
    ledger.settle(OUT.path, Outcome(OUT.path, "present"))
    ledger.take_ready()
    ledger.settle(REALISED, Outcome(REALISED, "realised"))
    admitted(ledger, name=f"{LETTERS}-again.drv")
    assert [ready.path for ready in ledger.take_ready()] == [REALISED]


def test_a_realisation_shares_the_fate_of_its_path_in_silence() -> None:
    ledger = Ledger()
    admitted(ledger, OUT)
    ledger.settle(OUT.path, Outcome(OUT.path, "failed", reason="no"))
    assert ledger.in_work == 0
    assert [pending.reason for pending in ledger.finished] == ["no"]
    assert [record.path for record in ledger.records] == [OUT.path]


def test_a_realisation_that_is_refused_fails_its_entry_and_is_reported() -> None:
    ledger = Ledger()
    admitted(ledger, OUT)
    ledger.settle(OUT.path, Outcome(OUT.path, "pushed", 5))
    ledger.settle(REALISED, Outcome(REALISED, "failed", reason="no"))
    assert [pending.reason for pending in ledger.finished] == ["no"]
    assert ledger.counts == {"pushed": 1, "failed": 1}


def test_what_refers_to_a_path_that_was_planned_before_is_a_candidate() -> None:
    top = info("top", OUT.path)
    policy = Policy(upstreams=(), exclude=None, vouching=Vouching(began=0, trusted=None))
    planned = plan([Entry(f"{LETTERS}-top.drv", (top.path,))], Known(top), policy, {OUT.path})
    assert planned.candidates == (top,)
    assert planned.settled == ()
