"""A key that replaces others: an object of a cache gets its signature if a valid one of an old key covers the content.

Nothing else is signed. Whoever could write to the cache may have put any text there, and only the old key's signature
says that this is what was built. Archives are not read: their hash is in the text that is signed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from ..nix import realisation
from ..nix.keys import PublicKey, SecretKey
from ..nix.narinfo import fingerprint
from ..nix.store import HASH_PART, PathInfo, parse_store_path
from ..system.dataclass import dataclass, replace
from . import presence


class What(StrEnum):
    """What became of an object; the value is how it is counted."""

    SIGNED = "signed now"
    THERE = "were signed"
    UNCOVERED = "not covered by a valid signature of an old key, left alone"
    DAMAGED = "damaged, left alone"


@dataclass(frozen=True)
class Signed:
    """`content` is what is to be written instead; None if it stays."""

    what: What
    content: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """`new` signs what one of `old` has signed. With `remove_old`, their signatures go from what has the new one."""

    new: SecretKey
    old: Sequence[PublicKey]
    store_dir: str
    remove_old: bool = False

    def narinfo(self, content: bytes, hash_part: str) -> Signed:
        """The narinfo of the path with this hash part."""
        fields = presence.fields_of(content)
        info = self._info(fields["StorePath"][0], fields) if fields else None
        if info is None or info.path.hash_part != hash_part:
            return Signed(What.DAMAGED)
        there = presence.is_signed(info, [self.new.public])
        if not there and not presence.is_signed(info, self.old):
            return Signed(What.UNCOVERED)
        lines = [f"{line}\n" for line in presence.decoded(content).removesuffix("\n").split("\n")]
        if not there:
            lines = self._without(lines, [self.new.name])
            signature = f"Sig: {self.new.sign(fingerprint(info))}\n"
            first = next((n for n, line in enumerate(lines) if line.startswith("Sig: ")), len(lines))
            lines.insert(first, signature)  # the first: readers ignore those beyond a number
        if self.remove_old:
            lines = self._without(lines, [key.name for key in self.old])
        return self._changed("".join(lines).encode(), presence.decoded(content).encode(), there=there)

    def realisation(self, content: bytes, number: str) -> Signed:
        """The realisation of this id."""
        found = realisation.parse(content, number, self.store_dir)
        if found is None:
            return Signed(What.DAMAGED)
        there = any(self.new.public.verifies(found.fingerprint, each) for each in found.signatures)
        covered = any(key.verifies(found.fingerprint, each) for each in found.signatures for key in self.old)
        if not there and not covered:
            return Signed(What.UNCOVERED)
        names = [self.new.name, *([key.name for key in self.old] if self.remove_old else [])]
        others = tuple(each for each in found.signatures if each.partition(":")[0] not in names)
        if there and len(others) + 1 == len(found.signatures):
            return Signed(What.THERE)
        return self._changed(replace(found, signatures=others).render(self.new), content, there=there)

    def text(self, narinfo: str) -> str:
        """A narinfo of a run index; the same text if it is not to be signed."""
        path = narinfo.partition("\n")[0].rpartition("/")[2]
        signed = self.narinfo(narinfo.encode(), path[:HASH_PART])
        return (signed.content or narinfo.encode()).decode()

    def _info(self, path: str, fields: Mapping[str, list[str]]) -> PathInfo | None:
        try:
            return presence.path_info(fields, parse_store_path(path, self.store_dir))
        except ValueError:
            return None

    @staticmethod
    def _without(lines: Sequence[str], names: Sequence[str]) -> list[str]:
        return [line for line in lines if not line.startswith(tuple(f"Sig: {name}:" for name in names))]

    @staticmethod
    def _changed(content: bytes, before: bytes, *, there: bool) -> Signed:
        return Signed(What.THERE if there else What.SIGNED, None if content == before else content)
