"""What has to be pushed for some entries of the queue: their outputs and all that these refer to,
less what upstream caches signed and what is excluded.

Asks the local store only. Whether the cache has a path already is asked later, path by path.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ..errors import StoreError, one_line
from ..nix.closure import circular
from ..nix.keys import PublicKey
from ..nix.narinfo import MOST_SIGNATURES, fingerprint
from ..nix.realisation import Realisation, is_floating, realisations
from ..nix.store import PathInfo, Store, StorePath, parse_store_path
from ..queue.directory import Entry
from ..queue.outcomes import Outcome
from .vouching import Vouching, objection

_CIRCULAR: Final = StoreError("Nix says that it refers to itself by way of others")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is not ours to upload. `elsewhere` are the paths of other caches that are read, by their fingerprints."""

    upstreams: tuple[PublicKey, ...]
    exclude: re.Pattern[str] | None
    vouching: Vouching
    elsewhere: Mapping[StorePath, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`outputs` and `realised` per entry's name; `candidates` and `settled` are disjoint, and hold nothing known
    before."""

    outputs: dict[str, tuple[StorePath, ...]]
    candidates: tuple[PathInfo, ...]
    settled: tuple[Outcome, ...]
    realised: dict[str, list[Realisation]]


def plan(entries: Sequence[Entry], store: Store, policy: Policy, known: Container[str]) -> Plan:
    """The plan for `entries`; paths in `known` are planned already. Raises StoreError when Nix cannot be asked."""
    outputs = {entry.name: tuple(_outputs(entry, store, policy)) for entry in entries}
    built = {path for entry in entries if entry.name.endswith(".drv") for path in outputs[entry.name]}
    wanted = {path for entry in entries if entry.outputs for path in outputs[entry.name]}  # and so must be valid
    candidates: list[PathInfo] = []
    settled: list[Outcome] = []
    seen: set[str] = set()
    invalid: set[StorePath] = set()
    frontier = _fresh((path for paths in outputs.values() for path in paths), known, seen)
    while frontier:
        answers = store.answers(frontier)
        invalid |= set(frontier) - set(answers)
        settled += [_failed(path, answer) for path, answer in answers.items() if isinstance(answer, StoreError)]
        infos = [answer for answer in answers.values() if isinstance(answer, PathInfo)]
        for info in infos:
            outcome = _not_ours(info, policy, built=info.path in built)
            settled.append(outcome) if outcome else candidates.append(_with_few_signatures(info, policy.vouching))
        references = [reference for info in infos for reference in info.references]
        wanted.update(references)
        frontier = _fresh(references, known, seen)
    settled += [_gone(path) for path in sorted(invalid & wanted)]
    invalid -= wanted
    circles = circular({info.path: info.references for info in candidates})
    settled += [_failed(path, _CIRCULAR) for path in sorted(circles)]
    candidates = [info for info in candidates if info.path not in circles]
    planned = {info.path for info in candidates}
    for entry in entries:
        kept = tuple(path for path in outputs[entry.name] if path not in invalid)
        lost = [] if kept else [_lost(path) for path in outputs[entry.name] or [_derivation(entry, store)]]
        lost = [outcome for outcome in lost if outcome.path not in planned and outcome.path not in known]
        settled += lost
        outputs[entry.name] = kept or tuple(StorePath(outcome.path) for outcome in lost)
    realised = {entry.name: realisations(_derivation(entry, store), outputs[entry.name]) for entry in entries}
    return Plan(outputs=outputs, candidates=tuple(candidates), settled=tuple(settled), realised=realised)


def _outputs(entry: Entry, store: Store, policy: Policy) -> Iterable[StorePath]:
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


def _derivation(entry: Entry, store: Store) -> StorePath:
    """An entry's derivation; it also stands for outputs that nobody knows."""
    return StorePath(f"{store.nix.store_dir}/{entry.name}")


def _lost(path: StorePath) -> Outcome:
    if not is_floating(path):
        return _gone(path)
    reason = "its outputs are content-addressed, and this Nix does not say what they became; a newer Nix does"
    return Outcome(path, "failed", reason=reason)


def _fresh(paths: Iterable[StorePath], known: Container[str], seen: set[str]) -> list[StorePath]:
    fresh = {path for path in paths if path not in seen and path not in known}
    seen |= fresh
    return sorted(fresh)


def _failed(path: StorePath, error: StoreError) -> Outcome:
    return Outcome(path, "failed", reason=one_line(error))


def _with_few_signatures(info: PathInfo, vouching: Vouching) -> PathInfo:
    """The same with as many signatures as a narinfo may carry, those of trusted names first: 2,000 paths are in memory
    at once, and any user can have a thousand added to each."""
    if len(info.signatures) <= MOST_SIGNATURES:
        return info
    names = {key.name for key in vouching.trusted or ()}
    first = sorted(info.signatures, key=lambda signature: signature.partition(":")[0] not in names)
    return replace(info, signatures=tuple(first[:MOST_SIGNATURES]))


def _gone(path: StorePath) -> Outcome:
    return Outcome(
        path, "failed", reason="it is not in the store: collected since, or built into another store (--store)"
    )


def _not_ours(info: PathInfo, policy: Policy, *, built: bool) -> Outcome | None:
    if policy.elsewhere.get(info.path) == fingerprint(info):
        return Outcome(info.path, "upstream")
    if any(key.verifies(fingerprint(info), each) for each in info.signatures for key in policy.upstreams):
        return Outcome(info.path, "upstream")
    if policy.exclude and policy.exclude.search(info.path.name):
        return Outcome(info.path, "skipped", reason=f"excluded by {policy.exclude.pattern}")
    if reason := objection(info, policy.vouching, built=built):
        return Outcome(info.path, "failed", reason=reason)
    return None
