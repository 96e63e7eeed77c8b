"""An object store in memory, with a clock of its own, that can be listed, deleted from, and stopped at any request.

It is linearizable, as the collector's protocol assumes: each request takes effect at one instant.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nix_autocache.caches.protocol import Body, Collectable, Content, Stored, VisibleAtOnce
from nix_autocache.errors import CacheError

PAGE = 1000


class StoppedError(BaseException):
    """This client died before its request."""


@dataclass
class MemoryStore(VisibleAtOnce, Collectable):
    """`before` is called with the kind and the name of each request, and may raise.

    `locked` are names that cannot be deleted. Without `conditional` it ignores conditions, as some servers do.
    """

    contents: dict[str, bytes] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    now: float = 1_800_000_000.0
    before: Callable[[str, str], None] = lambda *_: None
    after: Callable[[], None] = lambda: None
    locked: frozenset[str] = frozenset()
    conditional: bool = True
    together: int = 1
    mutex: threading.RLock = field(default_factory=threading.RLock)

    def open_connections(self, count: int) -> None: ...

    def close_connections(self) -> None: ...

    def get(self, name: str) -> bytes | None:
        self.before("get", name)
        return self.contents.get(name)

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        return {}

    def open(self, name: str) -> Content | None:
        return Content.of_found(self.get(name))

    def exists(self, name: str) -> bool:
        self.before("head", name)
        return name in self.contents

    def put(self, name: str, body: Body, content_type: str = "") -> None:
        content = body if isinstance(body, bytes) else b"".join(body)
        self.before("put", name)
        with self.mutex:
            self.contents[name], self.times[name] = content, self.now
            self.after()

    def put_if(self, name: str, content: bytes, etag: str | None) -> bool:
        self.before("put", name)
        with self.mutex:
            if self.conditional and etag != (self._etag(name) if name in self.contents else None):
                return False
            self.contents[name], self.times[name] = content, self.now
            self.after()
            return True

    def remove(self, name: str) -> None:
        self.before("delete", name)
        if name in self.locked:
            raise CacheError(f"{name} is locked")
        with self.mutex:
            self.contents.pop(name, None)
            self.after()

    def delete(self, names: Sequence[str]) -> Mapping[str, str]:
        """Each takes effect by itself, as in DeleteObjects, and the client may die between two."""
        failed = {}
        for name in names:
            try:
                self.remove(name)
            except CacheError as error:
                failed[name] = str(error)
        return failed

    def objects(self, folder: str = "") -> Iterator[Stored]:
        self.before("list", folder)
        with self.mutex:
            found = [
                Stored(name, len(content), self._etag(name), self.times.get(name, 0.0))
                for name, content in sorted(self.contents.items())
                if not folder or name.startswith(f"{folder}/")
            ]
        yield from found

    def _etag(self, name: str) -> str:
        return hashlib.md5(self.contents[name]).hexdigest()
