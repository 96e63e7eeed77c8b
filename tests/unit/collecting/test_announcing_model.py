"""The protocol of collector and pushers, explored whole: in every state that can be reached the cache is closed.

The model is written from the rules of docs/garbage-collection.md, not from the code. R refers to P, and both are dead.
Two pushers want to publish something that refers to both; each may crash, or find at any time that its view of the list
is too old. The collector runs twice and may crash once anywhere, when another takes over. After each request nothing
may be there without what it refers to. A protocol that lacks one of its rules must be found wrong.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

DEAD = ("R", "P")


@dataclass(frozen=True)
class Rules:
    """The protocol; a test leaves one out."""

    waits: bool = True  # for pushers whose view of the list is older
    says_begun: bool = True
    looks_again: bool = True  # at what was published, after it has begun
    honours_claims: bool = True
    claims_go_last: bool = True
    referrers_first: bool = True
    reads_list_after_claim: bool = True
    reads_begun_after_claim: bool = True


@dataclass(frozen=True)
class Pusher:
    """`view` is the epoch of the list that it works by, 0 for none; `lacks` is what it has to upload first."""

    at: str = "start"
    view: int = 0
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Collector:
    at: str = "start"
    epoch: int = 1
    doomed: tuple[str, ...] = ()
    run: int = 1
    crashes: int = 0


@dataclass(frozen=True)
class State:
    """`paths` are visible; `listed` is the epoch of the announced list, 0 for none; claims are of pusher and epoch."""

    paths: frozenset[str] = frozenset(DEAD)
    listed: int = 0
    begun: bool = False
    claims: frozenset[tuple[int, int]] = frozenset()
    pushers: tuple[Pusher, ...] = (Pusher(), Pusher())
    collector: Collector = Collector()

    @property
    def is_closed(self) -> bool:
        published = any(f"Q{number}" in self.paths for number in range(len(self.pushers)))
        return not ("R" in self.paths and "P" not in self.paths) and not (published and not self.paths >= set(DEAD))

    @property
    def is_needed(self) -> bool:
        return any(path.startswith("Q") for path in self.paths)


def pushing(state: State, number: int, rules: Rules) -> Iterator[State]:
    """What one request of a pusher can lead to."""
    pusher = state.pushers[number]

    def now(pusher: Pusher, **changes: object) -> State:
        pushers = tuple(pusher if each == number else other for each, other in enumerate(state.pushers))
        return replace(state, pushers=pushers, **changes)  # type: ignore[arg-type]

    if pusher.at in {"done", "dead"}:
        return
    yield now(Pusher("dead"))
    if pusher.at == "start" and (state.listed or not state.begun):
        yield now(Pusher("asks", state.listed))
    elif pusher.at == "asks" and pusher.view:
        yield now(replace(pusher, at="claimed"), claims=state.claims | {(number, pusher.view)})
    elif pusher.at == "asks":
        lacks = tuple(path for path in reversed(DEAD) if path not in state.paths)
        yield now(replace(pusher, at="uploads" if lacks else "publishes", lacks=lacks))
    elif pusher.at == "claimed":
        if rules.reads_begun_after_claim and state.begun:
            yield now(Pusher("late"))
        elif (rules.reads_list_after_claim and state.listed != pusher.view) or not state.paths >= set(DEAD):
            yield now(Pusher())
        else:
            yield now(replace(pusher, at="publishes"))
    elif pusher.at == "late" and not state.listed and not state.begun:
        yield now(Pusher())
    elif pusher.at == "uploads":
        first, *rest = pusher.lacks
        following = replace(pusher, at="uploads" if rest else "publishes", lacks=tuple(rest))
        yield now(following, paths=state.paths | {first})
        yield now(Pusher())
    elif pusher.at == "publishes":
        yield now(Pusher("done"), paths=state.paths | {f"Q{number}"})
        yield now(Pusher())


def collecting(state: State, rules: Rules) -> Iterator[State]:
    """What one request of the collector can lead to."""
    collector = state.collector

    def now(at: str, **changes: object) -> State:
        own = {name: changes.pop(name) for name in ("epoch", "doomed", "run") if name in changes}
        following = replace(collector, at=at, **own)  # type: ignore[arg-type]
        return replace(state, collector=following, **changes)  # type: ignore[arg-type]

    working = {"asks", "uploads", "publishes"}
    match collector.at:
        case "start" if state.begun and state.listed:
            yield now("looks", epoch=state.listed)
        case "start" if state.begun:
            yield now("end: begun")
        case "start" if state.listed:  # the next run goes on with what an earlier one has announced
            yield now("waits", epoch=state.listed)
        case "start" if state.paths & set(DEAD) and not state.is_needed:
            yield now("waits", listed=collector.epoch)
        case "waits":
            old = any(each.at in working and each.view != collector.epoch for each in state.pushers)
            if not rules.waits or not old:
                yield now("begins")
        case "begins":
            yield now("looks", begun=rules.says_begun)
        case "looks":
            claimed = rules.honours_claims and any(epoch == collector.epoch for _, epoch in state.claims)
            order = DEAD if rules.referrers_first else DEAD[::-1]
            spared = claimed or (rules.looks_again and state.is_needed)
            yield now("sweeps", doomed=() if spared else tuple(path for path in order if path in state.paths))
        case "sweeps" if collector.doomed:
            yield now("sweeps", doomed=collector.doomed[1:], paths=state.paths - {collector.doomed[0]})
        case "sweeps":
            yield now("end: list", claims=state.claims if rules.claims_go_last else frozenset())
        case "end: list":
            yield now("end: begun", listed=0)
        case "end: begun":
            yield now("end: claims", begun=False)
        case "end: claims":
            yield now("over", claims=frozenset())
        case "over" if collector.run < 2:
            yield now("start", run=collector.run + 1, epoch=collector.epoch + 1)
    if collector.at != "over" and not collector.crashes:
        yield replace(state, collector=replace(collector, at="start", crashes=1))


def explored(rules: Rules) -> tuple[int, bool]:
    """How many states can be reached, and whether the cache is closed in all; ends with the first that is not."""
    seen, waiting = {State()}, deque([State()])
    while waiting:
        state = waiting.popleft()
        if not state.is_closed:
            return len(seen), False
        following = [*collecting(state, rules)]
        for number in range(len(state.pushers)):
            following += pushing(state, number, rules)
        for each in following:
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return len(seen), True


@pytest.mark.slow
def test_the_cache_is_closed_in_every_state() -> None:
    states, closed = explored(Rules())
    assert closed
    assert states > 30_000, "it explores the pushers and the collector in every order"


@pytest.mark.parametrize("rule", list(Rules.__dataclass_fields__))
def test_each_rule_is_needed(rule: str) -> None:
    _, closed = explored(replace(Rules(), **{rule: False}))
    assert not closed, f"without {rule} the model finds nothing wrong"
