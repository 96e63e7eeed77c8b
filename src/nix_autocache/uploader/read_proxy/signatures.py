"""Signatures on what Nix is given of an index, which anybody may have written who can write to the cache.

Nix takes a path only with a signature of a key that it trusts. Where the cache holds paths without signatures, since
the CI host keeps apart who writes there, a key of this job signs them. Else nothing unsigned is passed on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from ...nix import realisation
from ...nix.keys import JOB_PREFIX, PublicKey, SecretKey
from ...nix.narinfo import fingerprint
from ...nix.store import PathInfo, parse_store_path
from ...system.dataclass import dataclass, replace
from ..presence import decoded, fields_of, is_signed, path_info

_REALISATIONS: Final = "realisations/"
_OF_A_JOB: Final = f"Sig: {JOB_PREFIX}"


@dataclass(frozen=True)
class Signatures:
    """`trusted` are the keys that Nix trusts. With a `job_key`, which it trusts as well, we sign."""

    store_dir: str
    trusted: Collection[PublicKey]
    job_key: SecretKey | None = None

    def accepts(self, fields: Mapping[str, list[str]]) -> bool:
        """True if a narinfo with these fields has a signature that Nix accepts."""
        info = self._info(fields)
        return info is not None and is_signed(info, self.trusted)

    def passed(self, name: str, content: bytes) -> bytes | None:
        """A small object of the cache as Nix is given it; None for one that Nix would not take."""
        if name.endswith(".narinfo"):
            return self._narinfo(decoded(content))
        return self._realisation(name, content) if name.startswith(_REALISATIONS) else content

    def _narinfo(self, text: str) -> bytes | None:
        fields = fields_of(text.encode())
        info = fields and self._info(fields)
        if not info:
            return None
        if self.job_key:
            lines = [line for line in text.splitlines(keepends=True) if not line.startswith(_OF_A_JOB)]
            return f"{''.join(lines)}Sig: {self.job_key.sign(fingerprint(info))}\n".encode()
        # What is content-addressed needs none: Nix compares it with its name.
        return text.encode() if info.ca or is_signed(info, self.trusted) else None

    def _realisation(self, name: str, content: bytes) -> bytes | None:
        """Nix itself verifies no signature of a realisation that it substitutes, so that this must be done here."""
        number = name.removeprefix(_REALISATIONS).removesuffix(".doi")
        found = realisation.parse(content, number, self.store_dir)
        if not found:
            return None
        if self.job_key:
            return replace(found, signatures=()).render(self.job_key)
        text = found.fingerprint
        valid = tuple(each for each in found.signatures if any(key.verifies(text, each) for key in self.trusted))
        return replace(found, signatures=valid).render(None) if valid else None

    def _info(self, fields: Mapping[str, list[str]]) -> PathInfo | None:
        try:
            return path_info(fields, parse_store_path(fields["StorePath"][0], self.store_dir))
        except ValueError:
            return None
