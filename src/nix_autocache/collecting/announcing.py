"""The collector's half of the protocol with the pushers: it announces, begins, and ends.

The order of the requests is what keeps the cache closed: docs/garbage-collection.md has the reasons, and the model in
tests/unit/collecting finds each that is left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Final

from ..caches import doomed_list, run_codec
from ..caches.doomed_list import BEGUN, DOOMED, WAIT, Claim, DamagedError, DoomedList, Keys
from ..caches.protocol import Collectable, Stored
from ..errors import CacheError
from ..system.dataclass import dataclass
from .lock import Lock
from .reading import read_each

_AHEAD: Final = 24 * 3600  # seconds that an epoch may be ahead of the store's clock


@dataclass(frozen=True)
class State:
    """What an earlier run has left. `announced` is a list that may be swept in `wait` seconds, or None.

    `begun`: its deletion has begun. `epoch` is higher than all that are in use.
    """

    epoch: int
    announced: DoomedList | None
    wait: float = 0.0
    begun: bool = False
    is_damaged: bool = False


def state(cache: Collectable, lock: Lock) -> State:
    """Raises CacheError and CacheBusy. A damaged list counts as none that may be swept."""
    own = {each.name: each for each in cache.objects(doomed_list.FOLDER)}
    damaged, listed, begun = False, None, None
    try:
        listed = DoomedList.read(cache) if DOOMED in own else None
        begun = doomed_list.read_begun(cache) if BEGUN in own else None
    except DamagedError:
        damaged = True
    epochs = [epoch for name in own if (epoch := Claim.epoch_of(name)) is not None]
    epochs += [listed.epoch] if listed else []
    epochs += [begun] if begun is not None else []
    # Epochs are times of the store: higher than those of a list that is damaged, or was lost with its folder. No
    # collector made what is far ahead, and whoever counted on from there would come to names that no claim can have.
    now = int(lock.now())
    damaged |= listed is not None and listed.epoch > now + _AHEAD
    epoch = max([now, *(each for each in epochs if each <= now + _AHEAD)]) + 1
    if damaged or listed is None or not listed.announced or begun not in {None, listed.epoch}:
        return State(epoch, None, begun=BEGUN in own, is_damaged=damaged)
    wait = 0.0 if begun is not None else max(0.0, own[DOOMED].modified + WAIT - lock.now())
    return State(epoch, listed, wait, begun is not None)


def announce(cache: Collectable, epoch: int, keys: Keys) -> DoomedList:
    """Say what will be deleted, but not before WAIT seconds have passed."""
    announced = DoomedList(epoch, int(time.time()), True, keys)
    cache.put(DOOMED, announced.encode(), run_codec.CONTENT_TYPE)
    return announced


def begin(cache: Collectable, announced: DoomedList) -> None:
    """From here on no claim holds. What is needed is looked for again after this."""
    cache.put(BEGUN, doomed_list.encode_begun(announced.epoch), run_codec.CONTENT_TYPE)


def claimed(cache: Collectable, own: Iterable[Stored], announced: Keys) -> set[str]:
    """The keys on the list that pushers have claimed, for any list. Raises DamagedError, CacheError and CacheBusy."""
    names = [each.name for each in own if Claim.epoch_of(each.name) is not None]
    claims = (claim for _, claim in read_each(names, partial(Claim.read, cache)) if claim)
    return {name for claim in claims for name in claim.keys if name in announced}


def end(cache: Collectable, epoch: int, own: Iterable[Stored]) -> None:
    """Nothing is doomed any more. The claims go last: whoever takes over after a crash needs them until then.

    `epoch` is a new one, and `own` was listed after the sweep began: what was claimed by then is over.
    """
    cache.put(DOOMED, DoomedList(epoch, int(time.time())).encode(), run_codec.CONTENT_TYPE)
    for why in cache.delete([BEGUN]).values():
        raise CacheError(f"gc: {BEGUN} cannot be deleted: {why}; the next gc goes on from here")
    cache.delete([each.name for each in own if Claim.epoch_of(each.name) is not None])
