"""The parameters of a store URL, checked against the types in `schemes`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from ..schemes.scheme import Kind, Parameter, Scheme
from ..system.parsers import FALSE, TRUE
from .url_text import decoded

_KINDS: Final[Mapping[Kind, tuple[str, str]]] = {
    "boolean": ("|".join(sorted(TRUE | FALSE)), "true, yes, 1, false, no or 0"),
    "integer": (r"-?[0-9]{1,10}", "a whole number"),
    "size": (r"[0-9]{1,18}[KMGT]?", "a number, of bytes or as 8M"),
    "word": (r"[\w.+=@/-]+", "a word of letters, digits and -._"),
    "text": (r"[^\x00-\x1f\x7f]+", "a text of one line"),
    "path": (r"/[^\x00-\x1f\x7f]*", "an absolute path"),
    "endpoint": (
        r"(https?://)?([\w.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[\w./-]*)?",
        "a host, or its http(s):// URL",
    ),
}
_NAME: Final = re.compile(r"[\w.-]+", re.ASCII)


def parse(row: Scheme, text: str) -> dict[str, str]:
    """The decoded parameters of a query; `+` is no blank, as in Nix. Raises ValueError for an unknown or wrong one."""
    found: dict[str, str] = {}
    for pair in filter(None, text.split("&")):
        name, _, value = pair.partition("=")
        if not _NAME.fullmatch(name):  # perhaps half of a password
            raise ValueError(
                "the name of a parameter has letters, digits and -._ only; in a password ? is %3F, & is %26"
            )
        if name in {"secret-key", "secret-keys"}:
            raise ValueError("the signing key is not part of the URL; give it as `signing-key`")
        if name in found:  # some versions of Nix take the first, others the last
            raise ValueError(f"{name} is given twice")
        if not value:
            raise ValueError(f"{name} has no value (is a variable empty?); leave it out, or write {name}=…")
        found[name] = _checked(row, name, decoded(value))
    return found


def _checked(row: Scheme, name: str, value: str) -> str:
    parameter = row.parameters.get(name)
    if parameter is None:
        if row.any_parameters:
            return value
        raise ValueError(f"{row.name}:// has no parameter {name}; {_near(name, row)}")
    pattern, what = _KINDS.get(parameter.kind, ("", ""))
    if parameter.choices:
        pattern, what = "|".join(map(re.escape, parameter.choices)), f"one of {', '.join(parameter.choices)}"
    if not re.fullmatch(pattern, value, re.ASCII):
        raise ValueError(f"{name}={value} is not {what}")
    if parameter.kind == "integer" and not parameter.low <= int(value) <= parameter.high:
        raise ValueError(f"{name}={value} is not a whole number from {parameter.low} to {parameter.high}")
    return value


def _near(name: str, row: Scheme) -> str:
    import difflib

    near = difflib.get_close_matches(name, row.parameters, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(row.parameters)}"


def is_for_readers(parameter: Parameter | None) -> bool:
    return parameter is None or parameter.use in {"reading", "connecting"}


def query(params: Mapping[str, str]) -> str:
    # A `/` or `:` in a value (endpoint=http://…) stays readable.
    pairs = [f"{name}={quote(value, safe='/:+,@')}" for name, value in params.items()]
    return f"?{'&'.join(pairs)}" if pairs else ""
