"""An index stays closed, whatever is done with it."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from nix_autocache.caches.actions.index import (
    Entry,
    Head,
    Index,
    Item,
    closure,
    forget,
    narinfo,
    prune,
    realisation,
    remaining,
    union,
    without,
)
from nix_autocache.caches.actions.keys import Place, is_entry, keys_of_archive, parse_pack
from nix_autocache.ci.lane import Lane
from nix_autocache.nix import keys
from tests.harness import actions
from tests.harness.actions import narinfo_name, scope_of

MAIN = scope_of("main")
SIZE = 100
PATHS = 12


def key(number: int, scope: str = MAIN) -> str:
    return f"nix-autocache/s1/{scope}/{actions.SYSTEM}/{number:08x}/1-1-{number}"


def item(number: int, references: Sequence[int] = (), entry: int = 0, size: int = SIZE) -> Item:
    archive = bytes([number]) * size
    made = narinfo(actions.narinfo(number, archive, references).decode())
    assert made
    return made.at(key(entry), 0)


def index_of(*items: Item, used: int = 5) -> Index:
    entries = {each.entry: Entry(SIZE, 1, used) for each in items}
    return Index(entries, {each.name: each for each in items})


def names(*numbers: int) -> set[str]:
    return {narinfo_name(number) for number in numbers}


CHAIN = index_of(item(0), item(1, [0], 1), item(2, [1, 1000], 2), item(3, [], 3))


def test_what_is_left_out_takes_along_what_needs_it() -> None:
    assert without(CHAIN, names(1)).items.keys() == names(0, 3)
    assert forget(CHAIN, [key(0)]).items.keys() == names(3)
    assert forget(CHAIN, [key(0)]).entries.keys() == {key(1), key(2), key(3)}
    assert forget(CHAIN, [key(9)]) == CHAIN


def test_a_closure_has_what_is_needed_and_its_entries() -> None:
    found = closure(CHAIN, names(1, 7))
    assert found.items.keys() == names(0, 1)
    assert found.entries.keys() == {key(0), key(1)}


def test_of_two_narinfos_of_a_path_the_signed_one_counts_else_the_first() -> None:
    signed = narinfo(actions.narinfo(0, b"\0" * SIZE, (), keys.generate("ours-1")).decode())
    assert signed
    signed = signed.at(key(5), 7)
    first = index_of(item(0))
    assert union([first, index_of(item(0, [], 5))]).items[narinfo_name(0)] == item(0)
    both = union([first, index_of(signed)]).items[narinfo_name(0)]
    assert both.is_signed
    assert (both.entry, both.offset) == (key(0), 0), "the same archive is where it was first"


def test_a_union_has_the_newest_heads_and_days() -> None:
    one = Index({key(1): Entry(9, 1, 5)}, {}, {"a": Head("x", 1), "b": Head("y", 5)})
    two = Index({key(1): Entry(9, 1, 7)}, {}, {"a": Head("z", 2), "b": Head("w", 4)})
    found = union([one, two])
    assert found.entries == {key(1): Entry(9, 1, 7)}
    assert found.heads == {"a": Head("z", 2), "b": Head("y", 5)}


def test_what_was_not_used_for_the_longest_time_goes_first() -> None:
    index = union(index_of(item(number, [], number), used=number) for number in range(5))
    assert prune(index, MAIN, 3 * SIZE, 10**6).items.keys() == names(2, 3, 4)
    letters = sum(len(each.text) for each in index.items.values())
    assert len(prune(index, MAIN, 10**6, letters // 2).items) == 2


def test_entries_of_other_branches_take_no_room_and_big_ones_do() -> None:
    other = item(0).at(key(0, scope_of("other")), 0)
    big = item(1).at(keys_of_archive(item(1).archive)[0], 0)
    assert prune(index_of(other), MAIN, 0, 10**6).items
    assert not prune(index_of(big), MAIN, 0, 10**6).items


def test_what_is_no_narinfo_is_no_item() -> None:
    text = actions.narinfo(1, b"x").decode()
    assert narinfo(text)
    assert narinfo(text + text) is None
    assert narinfo(text.rstrip("\n")) is None
    assert narinfo(f"{text}\n") is None
    assert narinfo(text + "x" * 300_000 + "\n") is None
    assert realisation("realisations/sha256:0!out.doi", f'{{"outPath":"{actions.base(1)}"}}\n') is None
    assert realisation(f"realisations/sha256:{'0' * 64}!out.doi", "{}\n") is None


def test_keys_say_whose_they_are() -> None:
    place = Place(Lane(MAIN, "0123abcd"), actions.SYSTEM)
    made = place.new_key({"GITHUB_RUN_ID": "12,\n", "GITHUB_RUN_ATTEMPT": ""})
    assert made.startswith(f"{place.own}12-0-")
    assert place.own.startswith(place.of_all_lanes)
    assert made != place.new_key({})
    pack = parse_pack(made)
    assert pack
    assert (pack.scope, pack.lane) == (MAIN, "0123abcd")
    assert all(is_entry(each) for each in [made, *keys_of_archive("nar/0a.nar.zst")])
    assert not any(is_entry(each) for each in ["", f"{made},", made.upper(), "nix-autocache/s1/nar/../x"])
    assert Index(heads={"0123abcd": Head(pack.tail, 1)}).has_taken(made)
    assert not Index(heads={"0123abcd": Head("other", 1)}).has_taken(made)
    assert not Index().has_taken("")


@st.composite
def closed(draw: st.DrawFn) -> Index:
    """An index that is closed: paths of one number differ in their references, as builds of other jobs may."""
    items: list[Item] = []
    for number in sorted(draw(st.sets(st.integers(0, PATHS - 1)))):
        there = [int(each.name[:32]) for each in items]
        chosen = draw(st.lists(st.sampled_from(there), unique=True, max_size=3)) if there else []
        items.append(item(number, [*chosen, 1000], draw(st.integers(0, 4)), draw(st.integers(1, SIZE))))
    used = {key(each): Entry(SIZE, each, draw(st.integers(0, 3))) for each in range(5)}
    return Index(used, {each.name: each for each in items})


def assert_closed(index: Index) -> None:
    for each in index.items.values():
        needed = [need for need in each.needs if need != narinfo_name(1000)]
        assert set(needed) <= index.items.keys()
        assert each.entry in index.entries
    places: dict[str, object] = {}
    for each in index.items.values():
        place = (each.entry, each.offset, each.size)
        assert places.setdefault(each.archive, place) == place


def test_what_one_branch_has_lost_is_needed_no_less_where_the_other_has_it() -> None:
    """Once, a narinfo that Nix had been given lost its archive: its branch had lost what the other has as well."""
    branch, other = index_of(item(0), item(1, [0], 1)), index_of(item(0, [], 2))
    assert remaining([(branch, {key(0)}), (other, {key(0)})]).items.keys() == names(0, 1)
    assert remaining([(branch, {key(0)}), (other, {key(0), key(2)})]).items.keys() == set()


@given(
    st.lists(closed(), max_size=3),
    st.sets(st.integers(0, 4), max_size=2),
    st.integers(0, 5 * SIZE),
    st.integers(0, 6000),
)
def test_every_function_keeps_an_index_closed(parts: list[Index], gone: set[int], size: int, letters: int) -> None:
    whole = union(parts)
    assert_closed(whole)
    assert whole.items.keys() == {name for part in parts for name in part.items}
    assert_closed(union([whole, whole]))
    assert union([whole, *parts]).items.keys() == whole.items.keys()
    assert_closed(forget(whole, {key(each) for each in gone}))
    assert_closed(remaining((part, {key(each) for each in gone}) for part in parts))
    assert_closed(without(whole, names(*gone)))
    assert_closed(closure(whole, names(*gone)))
    assert_closed(prune(whole, MAIN, size, letters))
