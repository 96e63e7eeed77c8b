"""The trust matrix, cell by cell."""

import itertools

import pytest

from nix_autocache.ci.host import Event, Origin
from nix_autocache.settings import Push
from nix_autocache.trust.policy import LIMITATIONS, judge

OPEN, SEALED = ("the job's user is root",), ()
LACKS = "there is no signing-key"

# (isolation, credentials, origin is own, push) → (does it push, which limitations are solved, is there a warning)
PULL = (False, "", False)
Cell = tuple[tuple[str, ...], str, bool, Push]
MATRIX: dict[Cell, tuple[bool, str, bool]] = {
    (SEALED, "", True, "auto"): (True, "1234", False),
    (SEALED, "", True, "always"): (True, "1234", False),
    (SEALED, "", True, "never"): PULL,
    (SEALED, "", False, "auto"): (True, "1234", False),
    (SEALED, "", False, "always"): (True, "1234", False),
    (SEALED, "", False, "never"): PULL,
    (OPEN, "", True, "auto"): (True, "123", False),
    (OPEN, "", True, "always"): (True, "123", False),
    (OPEN, "", True, "never"): PULL,
    (OPEN, "", False, "auto"): PULL,
    (OPEN, "", False, "always"): (True, "123", True),
    (OPEN, "", False, "never"): PULL,
    **{(isolation, LACKS, own, push): PULL
       for isolation in (SEALED, OPEN) for own in (True, False) for push in ("auto", "always", "never")},
}  # fmt: skip


def test_the_matrix_has_every_cell() -> None:
    cells = itertools.product((SEALED, OPEN), ("", LACKS), (True, False), ("auto", "always", "never"))
    assert set(cells) == set(MATRIX)


@pytest.mark.parametrize(("cell", "wanted"), MATRIX.items())
def test_a_cell_of_the_matrix(cell: tuple[tuple[str, ...], str, bool, Push], wanted: tuple[bool, str, bool]) -> None:
    exposures, lacks, own, push = cell
    origins: tuple[Origin, ...] = ("own",) if own else ("fork", "unknown")
    for origin in origins:
        verdict = judge(Event(name="event", origin=origin), exposures, push, lacks=lacks)
        solved = "".join(str(number) for number in LIMITATIONS if number not in verdict.unsolved)
        assert (verdict.push, solved, bool(verdict.warning)) == wanted
        assert verdict.reason
        assert all(verdict.unsolved.values())


def test_every_exposure_stands_in_the_verdict() -> None:
    verdict = judge(Event(name="push", origin="own"), ("sudo works", "the store is writable"), "auto", lacks="")
    assert verdict.unsolved == {4: "sudo works; the store is writable"}
