"""What `dataclasses` of the standard library makes, as far as we use it, without compiling anything.

The standard library's loads `inspect`, and compiles the methods of each class from source that it puts together: that
was a third of what a `push` spent before its first request. The methods here are closures over the names of fields.
`dataclass.py` shows the standard library's to type checkers, which also see to the order of defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, TypeVar

T = TypeVar("T")

MISSING: Final[Any] = object()
_FIELDS: Final = "__fields__"  # not the standard library's name, whose functions would take them for its own


class Field:
    """`default` and `default_factory` are MISSING in a field without."""

    __slots__ = ("default", "default_factory", "name", "repr")

    def __init__(self, default: Any, default_factory: Any, repr: bool) -> None:  # noqa: A002
        self.name, self.default, self.default_factory, self.repr = "", default, default_factory, repr


def field(*, default: Any = MISSING, default_factory: Any = MISSING, repr: bool = True) -> Any:  # noqa: A002
    return Field(default, default_factory, repr)


def fields(owner: object) -> tuple[Field, ...]:
    """The fields of a dataclass, or of an instance of one."""
    found: tuple[Field, ...] = getattr(owner, _FIELDS)
    return found


def is_dataclass(owner: object) -> bool:
    return hasattr(owner, _FIELDS)


def replace(instance: T, /, **changes: Any) -> T:
    """A copy with other values in some fields. Raises TypeError for what is no field."""
    names = (each.name for each in fields(instance))
    values = {name: changes.pop(name) if name in changes else getattr(instance, name) for name in names}
    return type(instance)(**values, **changes)


def asdict(instance: object) -> dict[str, Any]:
    """Its values by the names of its fields. In them, too, a dataclass becomes a dict, and a tuple a list."""
    return {each.name: _plain(getattr(instance, each.name)) for each in fields(instance)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return asdict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def dataclass(
    cls: type | None = None, /, *, frozen: bool = False, kw_only: bool = False, slots: bool = False, eq: bool = True
) -> Any:
    """Give a class the methods that its fields ask for, but for those that it has itself."""

    def decorated(plain: type) -> type:
        own = _own_fields(plain)
        inherited = {each.name: each for base in reversed(plain.__mro__[1:]) for each in getattr(base, _FIELDS, ())}
        every = tuple({**inherited, **own}.values())
        made = _with_slots(plain, tuple(own)) if slots else plain
        for name, method in _methods(every, frozen=frozen, kw_only=kw_only, eq=eq).items():
            if name not in made.__dict__:
                setattr(made, name, method)
        return made

    return decorated(cls) if cls else decorated


def _own_fields(cls: type) -> dict[str, Field]:
    """Those that the class itself annotates. A default stays as an attribute of the class."""
    found: dict[str, Field] = {}
    for name, annotation in vars(cls).get("__annotations__", {}).items():
        if annotation.startswith("ClassVar"):
            continue
        given = cls.__dict__.get(name, MISSING)
        one = found[name] = given if isinstance(given, Field) else field(default=given)
        one.name = name
        if one.default is not MISSING:
            setattr(cls, name, one.default)
        elif given is not MISSING:
            delattr(cls, name)
    return found


def _with_slots(cls: type, names: Sequence[str]) -> type:
    """The class again, with a place for each field instead of a dictionary."""
    kept = {name: value for name, value in cls.__dict__.items() if name not in {*names, "__dict__", "__weakref__"}}
    metaclass: Any = type(cls)
    made: type = metaclass(cls.__name__, cls.__bases__, {**kept, "__slots__": names})
    made.__qualname__ = cls.__qualname__
    return made


def _methods(every: tuple[Field, ...], *, frozen: bool, kw_only: bool, eq: bool) -> Mapping[str, Any]:
    names = tuple(each.name for each in every)
    shown = [each.name for each in every if each.repr]
    values: Callable[[object], Any] = attrgetter(*names) if names else lambda _: ()

    def text(self: object) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def equal(self: object, other: object) -> Any:
        return values(self) == values(other) if type(self) is type(other) else NotImplemented

    def hashed(self: object) -> int:
        return hash(values(self))

    positional = 0 if kw_only else len(every)
    methods: dict[str, Any] = {_FIELDS: every, "__init__": _init(every, positional), "__repr__": text}
    methods["__match_args__"] = names[:positional]
    if eq:
        methods |= {"__eq__": equal, "__hash__": hashed if frozen else None}
    if frozen:
        methods |= {"__setattr__": _refuse, "__delattr__": _refuse}
    return methods


def _init(every: Sequence[Field], positional: int) -> Callable[..., None]:
    """With at most so many positional arguments."""
    names, put = tuple(each.name for each in every), object.__setattr__
    all_names, defaults = frozenset(names), _last_defaults(every) if positional else {}

    def init(self: object, *args: Any, **given: Any) -> None:
        values: Iterable[tuple[str, Any]]
        if not given and len(args) in defaults:
            values = zip(names, args + defaults[len(args)], strict=True)
        elif not args and given.keys() == all_names:
            values = given.items()
        else:
            values = zip(names, (*args, *_others(every, positional, args, given)), strict=True)
        for name, value in values:
            put(self, name, value)

    return init


def _last_defaults(every: Sequence[Field]) -> Mapping[int, tuple[Any, ...]]:
    """By the number of positional arguments: the defaults of the other fields, if each has one."""
    found: dict[int, tuple[Any, ...]] = {len(every): ()}
    for number in reversed(range(len(every))):
        if every[number].default is MISSING:
            break
        found[number] = (every[number].default, *found[number + 1])
    return found


def _others(every: Sequence[Field], positional: int, args: Sequence[Any], given: dict[str, Any]) -> Iterator[Any]:
    """The values of the fields that have no positional argument. Raises TypeError if the arguments do not fit."""
    for each in every[len(args) :]:
        value = given.pop(each.name, each.default)
        if value is MISSING:
            if each.default_factory is MISSING:
                raise TypeError(f"{each.name} is missing")
            value = each.default_factory()
        yield value
    if given or len(args) > positional:
        raise TypeError(f"it has {', '.join(each.name for each in every)}, each once, {positional} without its name")


def _refuse(self: object, name: str, value: object = None) -> None:
    raise AttributeError(f"cannot change {name} of {type(self).__name__}: it is frozen")
