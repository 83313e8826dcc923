"""From JSON to a dataclass or a TypedDict, and back: fields that are missing or of another type are
refused, and those that a dataclass does not have."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from functools import cache
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from .errors import ArtifactError, FtclassifyError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[[Any], object])

NOT_IN_JSON = {"json": False}
"""Metadata of a dataclass's field that its JSON leaves out."""


@dataclass(frozen=True)
class AtMost:
    """In `Annotated`: how many items or characters there may be. It is looked at before they are
    read, since a stranger's list may be long."""

    most: int

    def __call__(self, value: object) -> bool:
        return not isinstance(value, Sized) or len(value) <= self.most


def _is_share(value: float) -> bool:
    return 0 <= value <= 1


Share = Annotated[float, _is_share]


@cache
def _hints(cls: Any) -> Mapping[str, Any]:
    return get_type_hints(cls, include_extras=True)


def read_stored(
    kind: type[T], data: object, what: str, then: str, error: type[FtclassifyError] = ArtifactError
) -> T:
    """A dataclass or TypedDict out of JSON in a file that may be damaged, of a newer version, or a
    stranger's. Raises `error`.

    what, then: for its message: "The settings of job 3 were", "start a new one"
    """
    read: Any = read_typed_dict if is_typeddict(kind) else read_dataclass
    try:
        made: T = read(kind, data)
        return made
    except (KeyError, TypeError, ValueError, AttributeError, FtclassifyError) as why:
        raise error(
            f"{what} not written by this software, or by a newer version of it: {then}."
        ) from why


def in_json(function: F) -> F:
    """Below the `@property` of a dataclass whose JSON is to have it, behind the fields."""
    function.__dict__["in_json"] = True
    return function


@cache
def _json_names(cls: Any) -> Sequence[str]:
    """The fields and properties that the JSON of a dataclass has."""
    names = [field.name for field in fields(cls) if field.metadata.get("json", True)]
    own = [pair for base in reversed(cls.__mro__) for pair in vars(base).items()]
    return names + [n for n, p in own if isinstance(p, property) and hasattr(p.fget, "in_json")]


def as_json(data: object) -> dict[str, Any]:
    """What is read again as this dataclass: what its `to_dict` says, else its fields, and what is
    declared to stand behind them; so, too, of the dataclasses in it."""
    said: dict[str, Any] = _as_json(data)
    return said


def json_default(value: object) -> dict[str, Any]:
    """For `json.dumps`: a dataclass as `as_json` has it. Raises TypeError for anything else."""
    if not is_dataclass(value):
        raise TypeError(f"{type(value).__name__} is no JSON")
    return as_json(value)


def _as_json(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if is_dataclass(value):
        names = _json_names(type(value))  # type: ignore[arg-type]
        return {name: _as_json(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {name: _as_json(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(each) for each in value]
    return value.isoformat() if isinstance(value, date) else value


def read_dataclass(cls: type[T], data: object) -> T:
    """By the types of its fields; by `from_dict`, of a class that has one.

    Raises TypeError, and whatever a `from_dict` or the class itself raises.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"{cls.__name__} is an object, not {data!r:.100}")
    read: Any = getattr(cls, "from_dict", None)
    if read is not None:
        made: T = read(data)
        return made
    return read_fields(cls, data)


def read_fields(cls: type[T], data: Mapping[str, Any]) -> T:
    """The same without `from_dict`, for a class that has one."""
    hints = _hints(cls)  # type: ignore[arg-type]
    unknown = [name for name in data if name not in hints]
    if unknown:
        raise TypeError(f"{cls.__name__} has no field {unknown[0]!r:.100}")
    return cls(**{name: read_value(hints[name], value) for name, value in data.items()})


def read_typed_dict(cls: Any, data: object) -> Any:
    """An object with the fields of a TypedDict, and perhaps others, which stay as they are, since
    later versions may write more. Raises TypeError."""
    if not isinstance(data, Mapping):
        raise TypeError(f"{cls.__name__} is an object, not {data!r:.100}")
    missing = sorted(cls.__required_keys__ - data.keys())
    if missing:
        raise TypeError(f"{cls.__name__} needs {missing[0]}")
    hints = _hints(cls)
    return {name: read_value(hints.get(name, Any), value) for name, value in data.items()}


def read_value(kind: Any, value: Any) -> Any:
    """A field. Behind a type, in `Annotated`, stand functions that say whether a value of it can be
    one of the field. Raises TypeError."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        checks = arguments[1:]
        if not all(check(value) for check in checks if isinstance(check, AtMost)):
            raise TypeError("There are more than there can be")
        found = read_value(arguments[0], value)
        if not all(check(value) for check in checks):
            raise TypeError("It cannot be")
        return found
    if origin in (Union, types.UnionType):
        return _first(arguments, value)
    if kind is Any or (origin is Literal and value in arguments):
        return value
    if is_dataclass(kind):
        return read_dataclass(kind, value)  # type: ignore[arg-type]
    if is_typeddict(kind):
        return read_typed_dict(kind, value)
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        names, values = arguments
        return {read_value(names, n): read_value(values, each) for n, each in value.items()}
    listed = isinstance(origin, type) and issubclass(origin, Sequence)
    if listed and isinstance(value, (list, tuple)):
        item = arguments[0]
        plain = item in (int, str) and {*map(type, value)} <= {item}  # of a large matrix
        items = [*value] if plain else [read_value(item, each) for each in value]
        return items if origin is list else tuple(items)
    allowed = (int, float) if kind is float else kind
    simple = isinstance(allowed, (type, tuple)) and isinstance(value, allowed)
    if simple and (kind is bool or not isinstance(value, bool)):
        return value
    raise TypeError(f"{value!r:.100} is no {kind}")


def _first(kinds: Sequence[Any], value: Any) -> Any:
    for kind in kinds[:-1]:
        try:
            return read_value(kind, value)
        except TypeError:
            continue
    return read_value(kinds[-1], value)
