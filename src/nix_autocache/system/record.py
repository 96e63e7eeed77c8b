"""Frozen dataclasses as JSON, for files that later steps read and for pipes between our processes.

Fields may be scalars, Path, Enum, Literal, None, tuples, mappings with str or int keys, and dataclasses of these. Other
types travel as text: the caller gives their forms. A field that is missing takes its default; unknown ones are ignored.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin

from .dataclass import MISSING, Field, fields, is_dataclass
from .files import make_directory, write_atomically

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

D = TypeVar("D", bound="DataclassInstance")

TextForms = Mapping[type, tuple[Callable[[Any], str], Callable[[str], Any]]]
"""For each type: how its text is made, and how it is parsed."""


def save(record: DataclassInstance, path: Path) -> None:
    """Write the record atomically, with missing directories. Everybody may read it."""
    make_directory(path.parent, 0o755)
    write_atomically(path, dumps(record), 0o644)


def dumps(record: DataclassInstance, texts: TextForms = types.MappingProxyType({})) -> str:
    """On one line."""
    return json.dumps(_encoded(record, texts))


def loads(kind: type[D], text: str, texts: TextForms = types.MappingProxyType({})) -> D:
    """Raises ValueError for text that is no such record."""
    found = _decoded(kind, json.loads(text), texts)
    assert isinstance(found, kind), "it was made so"
    return found


def _encoded(value: Any, texts: TextForms) -> Any:
    for kind, (text, _) in texts.items():
        if isinstance(value, kind):
            return text(value)
    if is_dataclass(value):
        return {each.name: _encoded(getattr(value, each.name), texts) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: _encoded(item, texts) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_encoded(item, texts) for item in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _decoded(kind: Any, value: Any, texts: TextForms) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        (inner,) = (each for each in arguments if each is not types.NoneType)
        return None if value is None else _decoded(inner, value, texts)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{value!r} is none of {arguments}")
        return value
    if origin is tuple:
        return tuple(_decoded(arguments[0], item, texts) for item in _checked(value, list))
    if origin is Mapping:
        items = _checked(value, dict).items()
        return {arguments[0](key): _decoded(arguments[1], item, texts) for key, item in items}
    plain: Any = origin or kind
    if plain in texts:
        return texts[plain][1](_checked(value, str))
    if is_dataclass(plain):
        return _decoded_fields(plain, _checked(value, dict), texts)
    if issubclass(plain, Enum):
        return plain(value)
    if plain is Path:
        return Path(_checked(value, str))
    return float(value) if plain is float and type(value) is int else _checked(value, plain)


def _decoded_fields(kind: Any, given: Mapping[str, Any], texts: TextForms) -> Any:
    hints = typing.get_type_hints(kind)
    wanted = [each for each in fields(kind) if each.name in given or not _has_default(each)]
    if missing := [each.name for each in wanted if each.name not in given]:
        raise ValueError(f"{kind.__name__} has no {missing[0]}")
    return kind(**{each.name: _decoded(hints[each.name], given[each.name], texts) for each in wanted})


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"a {kind.__name__} was expected, not a {type(value).__name__}")
    return value


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING
