"""What has to be pushed for some entries of the queue: the closure of their outputs, less what upstream caches signed
and what is excluded.

Asks the local store only. Whether the cache has a path already is asked later, path by path.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final

from ..errors import StoreError, one_line
from ..nix.closure import circular
from ..nix.keys import PublicKey
from ..nix.narinfo import MOST_SIGNATURES, fingerprint
from ..nix.realisation import Realisation, is_floating, realisations
from ..nix.store import PathInfo, StorePath, parse_store_path
from ..nix.store_client import StoreClient
from ..queue.entry import Entry
from ..queue.outcomes import Outcome
from ..system.dataclass import dataclass, field, replace
from .presence import is_signed
from .vouching import Vouching, objection

_CIRCULAR: Final = StoreError("Nix says that it refers to itself by way of others")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is not ours to upload. `elsewhere` has the fingerprints of paths in other caches that Nix reads."""

    upstreams: tuple[PublicKey, ...]
    exclude: re.Pattern[str] | None
    vouching: Vouching
    elsewhere: Mapping[StorePath, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`outputs` and `realised` are by the entry's name; `candidates` and `settled` are disjoint, and hold nothing known
    before."""

    entries: tuple[Entry, ...]
    outputs: dict[str, tuple[StorePath, ...]]
    candidates: tuple[PathInfo, ...]
    settled: tuple[Outcome, ...]
    realised: dict[str, list[Realisation]]


@dataclass(frozen=True)
class _Closure:
    """What Nix says of paths and of all that they refer to: `absent` ones are not valid in its store."""

    infos: list[PathInfo] = field(default_factory=list)
    unusable: dict[StorePath, StoreError] = field(default_factory=dict)
    absent: set[StorePath] = field(default_factory=set)


def plan(entries: Sequence[Entry], store: StoreClient, policy: Policy, known: Container[str]) -> Plan:
    """The plan for `entries`; paths in `known` are planned already. Raises StoreError when Nix cannot be asked."""
    outputs = {entry.name: tuple(_outputs(entry, store, policy)) for entry in entries}
    closure = _closure((path for paths in outputs.values() for path in paths), store, known)
    built = {path for entry in entries if entry.name.endswith(".drv") for path in outputs[entry.name]}
    classified = [_classify(info, policy, built=info.path in built) for info in closure.infos]
    candidates, circles = _without_circles([each for each in classified if isinstance(each, PathInfo)])
    settled = [each for each in classified if isinstance(each, Outcome)]
    settled += [_failed(path, error) for path, error in closure.unusable.items()]
    settled += [_failed(path, _CIRCULAR) for path in circles]
    # A hook names what was built, and a path needs all its references. A derivation names also what was not built.
    needed = {path for entry in entries if entry.outputs for path in outputs[entry.name]}
    needed.update(reference for info in closure.infos for reference in info.references)
    settled += [_gone(path) for path in sorted(closure.absent & needed)]
    planned = {info.path for info in candidates}
    for entry in entries:
        kept = tuple(path for path in outputs[entry.name] if path in needed or path not in closure.absent)
        lost = [] if kept else [_lost(path) for path in outputs[entry.name] or [_derivation(entry, store)]]
        lost = [outcome for outcome in lost if outcome.path not in planned and outcome.path not in known]
        settled += lost
        outputs[entry.name] = kept or tuple(StorePath(outcome.path) for outcome in lost)
    return Plan(
        entries=tuple(entries),
        outputs=outputs,
        candidates=tuple(candidates),
        settled=tuple(settled),
        realised={entry.name: realisations(_derivation(entry, store), outputs[entry.name]) for entry in entries},
    )


def _outputs(entry: Entry, store: StoreClient, policy: Policy) -> Iterable[StorePath]:
    """The outputs that the hook noted, or, where it was not told, those that the derivation names."""
    store_dir = store.nix.store_dir
    if not entry.outputs:
        derivation = _derivation(entry, store)
        named = store.nix.outputs(derivation)
        # What Nix's database says of others is worth something only where the job's user could do anything anyway.
        yield from store.outputs_of(derivation) if policy.vouching.is_open and is_floating(derivation) else named
    for text in entry.outputs:
        try:
            yield parse_store_path(text, store_dir)
        except ValueError:
            continue  # not written by our hook: Nix gives it store paths only


def _derivation(entry: Entry, store: StoreClient) -> StorePath:
    """An entry's derivation; it also stands for outputs that nobody knows."""
    return StorePath(f"{store.nix.store_dir}/{entry.name}")


def _closure(paths: Iterable[StorePath], store: StoreClient, known: Container[str]) -> _Closure:
    """Paths and what they refer to, without what is `known`; breadth first, a question for each level."""
    closure, seen = _Closure(), set[StorePath]()
    level = set(paths)
    while todo := sorted(path for path in level if path not in seen and path not in known):
        seen.update(todo)
        answers = store.answers(todo)
        closure.absent.update(path for path in todo if path not in answers)
        infos = [answer for answer in answers.values() if isinstance(answer, PathInfo)]
        closure.infos.extend(infos)
        closure.unusable.update((path, each) for path, each in answers.items() if isinstance(each, StoreError))
        level = {reference for info in infos for reference in info.references}
    return closure


def _classify(info: PathInfo, policy: Policy, *, built: bool) -> PathInfo | Outcome:
    """A candidate for the cache, or why it is none. `built` says that Nix told its hook that it built it."""
    if policy.elsewhere.get(info.path) == fingerprint(info):
        return Outcome(info.path, "upstream")
    if is_signed(info, policy.upstreams):
        return Outcome(info.path, "upstream")
    if policy.exclude and policy.exclude.search(info.path.name):
        return Outcome(info.path, "skipped", reason=f"excluded by {policy.exclude.pattern}")
    if reason := objection(info, policy.vouching, built=built):
        return Outcome(info.path, "failed", reason=reason)
    return _with_few_signatures(info, policy.vouching)


def _with_few_signatures(info: PathInfo, vouching: Vouching) -> PathInfo:
    """The same with as many signatures as a narinfo may carry, those of trusted names first: 2,000 paths are in memory
    at once, and any user can have a thousand added to each."""
    if len(info.signatures) <= MOST_SIGNATURES:
        return info
    names = {key.name for key in vouching.trusted or ()}
    first = sorted(info.signatures, key=lambda signature: signature.partition(":")[0] not in names)
    return replace(info, signatures=tuple(first[:MOST_SIGNATURES]))


def _without_circles(infos: Sequence[PathInfo]) -> tuple[list[PathInfo], list[StorePath]]:
    """The paths that do not wait for each other, and those that do."""
    circles = circular({info.path: info.references for info in infos})
    return [info for info in infos if info.path not in circles], sorted(circles)


def _lost(path: StorePath) -> Outcome:
    if not is_floating(path):
        return _gone(path)
    reason = "its outputs are content-addressed, and this Nix does not say what they became; a newer Nix does"
    return Outcome(path, "failed", reason=reason)


def _gone(path: StorePath) -> Outcome:
    reason = "it is not in the store: collected since, or built into another store (--store)"
    return Outcome(path, "failed", reason=reason)


def _failed(path: StorePath, error: StoreError) -> Outcome:
    return Outcome(path, "failed", reason=one_line(error))
