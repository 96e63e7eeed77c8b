"""Our dataclasses do what the standard library's do; the same classes are made with both."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from nix_autocache.system import dataclass_methods

SOURCE = Path(__file__).parents[3] / "src"
Make = Callable[[ModuleType], Any]
Calls = list[tuple[tuple[Any, ...], dict[str, Any]]]
Case = tuple[Any, Any, Calls]
"""The class as we make it, as the standard library does, and the arguments of some calls."""


def point(library: ModuleType) -> Any:
    @library.dataclass(frozen=True)
    class Point:
        kind: ClassVar[str] = "point"
        x: int
        y: int = 2

        @property
        def total(self) -> int:
            return self.x + self.y

    return Point


def slotted(library: ModuleType) -> Any:
    @library.dataclass(frozen=True, slots=True)
    class Slotted:
        x: int
        y: int = 2

    return Slotted


def open_one(library: ModuleType) -> Any:
    @library.dataclass
    class Open:
        x: int
        y: list[int] = library.field(default_factory=list)

    return Open


def heir(library: ModuleType) -> Any:
    @library.dataclass(frozen=True)
    class Heir(point(library)):  # type: ignore[misc]
        x: int = 7
        z: str = library.field(default="secret", repr=False)

    return Heir


def named(library: ModuleType) -> Any:
    @library.dataclass(frozen=True, kw_only=True)
    class Named:
        x: int = 1
        y: int

        def __repr__(self) -> str:
            return "its own"

    return Named


CASES: dict[str, tuple[Make, Calls]] = {
    "point": (point, [((1,), {}), ((1, 5), {}), ((), {"y": 1, "x": 2}), ((4,), {"y": 3})]),
    "slots": (slotted, [((1,), {}), ((1, 5), {}), ((), {"x": 2})]),
    "open": (open_one, [((1,), {}), ((1, [2]), {}), ((), {"x": 1, "y": [3]})]),
    "heir": (heir, [((), {}), ((1, 2, "z"), {}), ((1,), {"z": "a"})]),
    "by name": (named, [((), {"y": 1}), ((), {"x": 3, "y": 1})]),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    make, calls = CASES[request.param]
    return make(dataclass_methods), make(dataclasses), calls


def test_an_instance_has_the_same_values(case: Case) -> None:
    ours, standard, calls = case
    for args, given in calls:
        one, other = ours(*args, **given), standard(*args, **given)
        assert dataclass_methods.asdict(one) == dataclasses.asdict(other)
        assert repr(one) == repr(other)
        names = [each.name for each in dataclass_methods.fields(one)]
        assert names == [each.name for each in dataclasses.fields(other)]


def test_equality_and_hashes_follow_the_values(case: Case) -> None:
    ours, standard, calls = case
    instances = [(ours(*args, **given), standard(*args, **given)) for args, given in calls]
    for one, other in instances:
        assert [one == each for each, _ in instances] == [other == each for _, each in instances]
        assert one != other
        assert (one.__hash__ is None) == (other.__hash__ is None)
        if one.__hash__:
            assert hash(one) == hash(ours(**dataclass_methods.asdict(one)))


def test_a_copy_has_other_values_where_it_was_told_so(case: Case) -> None:
    ours, standard, calls = case
    for args, given in calls:
        one, other = ours(*args, **given), standard(*args, **given)
        changed = dataclass_methods.replace(one, x=9)
        assert dataclass_methods.asdict(changed) == dataclasses.asdict(dataclasses.replace(other, x=9))
        with pytest.raises(TypeError):
            dataclass_methods.replace(one, absent=1)


@pytest.mark.parametrize(
    ("make", "args", "given"),
    [
        (point, (), {}),
        (point, (1, 2, 3), {}),
        (point, (1,), {"x": 2}),
        (point, (1,), {"z": 2}),
        (point, (), {"x": 1, "z": 2}),
        (open_one, (1, [], 3), {}),
        (named, (), {"x": 1}),
        (named, (1,), {"y": 1}),
    ],
)
def test_a_wrong_call_is_refused(make: Make, args: tuple[int, ...], given: dict[str, int]) -> None:
    for library in (dataclass_methods, dataclasses):
        with pytest.raises(TypeError):
            make(library)(*args, **given)


@pytest.mark.parametrize("make", [point, slotted, heir, named])
def test_a_frozen_one_stays_as_it_is(make: Make) -> None:
    one = make(dataclass_methods)(x=1, y=2)
    with pytest.raises(AttributeError, match="x of"):
        one.x = 2
    with pytest.raises(AttributeError):
        del one.x
    assert one.x == 1


def test_an_open_one_can_be_changed_and_shares_no_default() -> None:
    one, other = open_one(dataclass_methods)(1), open_one(dataclass_methods)(1)
    one.x, one.y = 5, [*one.y, 3]
    assert (one.x, one.y, other.y) == (5, [3], [])


def test_a_default_is_an_attribute_of_the_class() -> None:
    assert (heir(dataclass_methods).x, heir(dataclass_methods).z) == (7, "secret")


def test_slots_leave_no_dictionary_and_a_class_without_equality_has_its_own() -> None:
    assert not hasattr(slotted(dataclass_methods)(1), "__dict__")
    plain = dataclass_methods.dataclass(eq=False)(type("Plain", (), {"__annotations__": {"x": "int"}}))
    assert plain(1) != plain(1)


def test_containers_become_plain_ones() -> None:
    heap = open_one(dataclass_methods)
    whole = heap(1, [heap(2), {"a": heap(3, (4,))}])
    assert dataclass_methods.asdict(whole) == {"x": 1, "y": [{"x": 2, "y": []}, {"a": {"x": 3, "y": [4]}}]}


def test_no_module_takes_those_of_the_standard_library() -> None:
    """They would load what this saves, for every step."""
    wrong = [
        path.name
        for path in (SOURCE / "nix_autocache").rglob("*.py")
        if "dataclasses import" in (text := path.read_text()) or "import dataclasses" in text
    ]
    assert wrong == ["dataclass.py"]


def test_no_class_asks_for_what_ours_do_not_have() -> None:
    """Type checkers see the standard library's, and would not say so."""
    missing = re.compile(r"__post_init__|KW_ONLY|InitVar|typing\.ClassVar|field\([^)]*(init|compare|hash|kw_only)=")
    texts = {path.name: path.read_text() for path in (SOURCE / "nix_autocache").rglob("*.py")}
    assert [name for name, text in texts.items() if "dataclass import" in text and missing.search(text)] == []


def test_a_push_loads_nothing_that_inspects_classes() -> None:
    modules = "cli.bootstrap, nix_autocache.cli.push, nix_autocache.uploader.drain, nix_autocache.caches.http"
    script = f"import sys, nix_autocache.{modules}; print(*{{'inspect', 'dataclasses'}} & {{*sys.modules}})"
    command = [sys.executable, "-s", "-c", script]
    done = subprocess.run(command, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
