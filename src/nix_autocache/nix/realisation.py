"""Realisations: the store paths of the outputs of a content-addressed derivation, known only after its build.

Nix looks for `realisations/<id>.doi` in a binary cache, and builds if there is none, even if the path is there. The id
is a hash of the derivation. We compute it only for a derivation without input derivations. Nix builds no other kind: it
first replaces input derivations by their paths ("resolved derivation").
Source: src/libstore/realisation.cc, derivations.cc (staticOutputHashes) and binary-cache-store.cc of Nix 2.8 to 2.34.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from ..system import flat_json
from ..system.dataclass import dataclass
from .keys import SecretKey
from .store import StorePath, parse_store_path

CONTENT_TYPE = "application/json"
_LARGEST: Final = 8 << 20  # bytes
_SIGNATURES: Final = 32  # of a realisation; further ones are ignored
# Patterns are compiled at their first use: most jobs build no such derivation.
_NUMBER: Final = r"sha256:[0-9a-f]{64}![0-9A-Za-z+._?=-]+"
_TEXT = r'"[^"\\]*(?:\\(?s:.)[^"\\]*)*"'
_TEXTS = rf"\[(?:{_TEXT},?)*\]"
_OUTPUTS = rf"\[((?:\({_TEXT},{_TEXT},{_TEXT},{_TEXT}\),?)+)\]"
_VARIABLES = rf"\[((?:\({_TEXT},{_TEXT}\),?)*)\]"
# Outputs, no inputs of other derivations, sources, system, builder, arguments, variables.
_RESOLVED = rf"Derive\({_OUTPUTS},\[\],{_TEXTS},{_TEXT},{_TEXT},{_TEXTS},{_VARIABLES}\)"
_ANY = rf"Derive\({_OUTPUTS}"
_OUTPUT = rf"\(({_TEXT}),({_TEXT}),({_TEXT}),({_TEXT})\)"
_VARIABLE = rf"\(({_TEXT}),({_TEXT})\)"


@dataclass(frozen=True, slots=True)
class Realisation:
    """The store path of one output of a derivation, with the `signatures` that an object in a cache has."""

    derivation: StorePath
    output: str
    id: str
    path: StorePath
    signatures: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its object in a cache."""
        return f"realisations/{self.id}.doi"

    @property
    def fingerprint(self) -> bytes:
        """The signed text: the object's content without the signatures."""
        return _json(self._value)

    def render(self, key: SecretKey | None) -> bytes:
        """The object's content, given a key with our signature."""
        signatures = [*self.signatures, *([key.sign(self.fingerprint)] if key else [])]
        return _json({**self._value, "signatures": signatures})

    @property
    def _value(self) -> dict[str, object]:
        return {"dependentRealisations": {}, "id": self.id, "outPath": self.path.base}


def realisations(derivation: StorePath, outputs: Sequence[StorePath]) -> list[Realisation]:
    """The realisations of a derivation that Nix built into `outputs`. Empty unless it is content-addressed."""
    text = _text_of(derivation)
    floating = _floating(text)
    found = re.fullmatch(_RESOLVED, text) if floating else None
    if not found:
        return []
    # For the hash, variables with the paths of outputs are empty.
    start, end = found.span(2)
    variables = re.sub(_VARIABLE, lambda v: f'({v[1]},"")' if v[1][1:-1] in floating else v[0], text[start:end])
    masked = f"{text[:start]}{variables}{text[end:]}".encode("utf-8", "surrogateescape")
    number = hashlib.sha256(masked).hexdigest()
    paths = {path.name: path for path in outputs}
    names = {output: _path_name(derivation, output) for output in sorted(floating)}
    return [
        Realisation(derivation, output, f"sha256:{number}!{output}", paths[name])
        for output, name in names.items()
        if name in paths
    ]


def parse(content: bytes, number: str, store_dir: str) -> Realisation | None:
    """The realisation of this id in an object's content, which anybody may have made; None if it is not that."""
    with suppress(ValueError, LookupError, TypeError):
        value = flat_json.parse(content)
        if re.fullmatch(_NUMBER, number) and value["id"] == number:
            path = parse_store_path(f"{store_dir}/{value['outPath']}", store_dir)
            signatures = (each for each in value.get("signatures", ()) if isinstance(each, str))
            return Realisation(path, number.partition("!")[2], number, path, tuple(islice(signatures, _SIGNATURES)))
    return None


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def is_floating(derivation: StorePath) -> bool:
    """True if its outputs are content-addressed, so that their paths are unknown before the build."""
    return bool(_floating(_text_of(derivation)))


def _text_of(derivation: StorePath) -> str:
    """The derivation's text; empty if it is no derivation, is gone or is too large."""
    if not derivation.endswith(".drv"):
        return ""
    try:
        with open(derivation, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError:
        return ""
    return data.decode("utf-8", "surrogateescape") if len(data) <= _LARGEST else ""


def _floating(text: str) -> frozenset[str]:
    """The outputs with a hash algorithm and neither path nor hash."""
    found = re.match(_ANY, text) if text else None
    outputs = re.findall(_OUTPUT, found[1]) if found else []
    return frozenset(
        name[1:-1] for name, path, method, content in outputs if (path, content) == ('""', '""') and method != '""'
    )


def _path_name(derivation: StorePath, output: str) -> str:
    name = derivation.name.removesuffix(".drv")
    return name if output == "out" else f"{name}-{output}"
