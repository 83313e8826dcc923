"""From JSON to a dataclass or a TypedDict: fields that are missing or of another type are refused,
and those that a dataclass does not have."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

T = TypeVar("T")


@cache
def _hints(cls: Any) -> Mapping[str, Any]:
    return get_type_hints(cls)


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
    hints = _hints(cls)  # type: ignore[arg-type]
    unknown = [name for name in data if name not in hints]
    if unknown:
        raise TypeError(f"{cls.__name__} has no field {unknown[0]!r:.100}")
    return cls(**{name: _value(hints[name], value) for name, value in data.items()})


def read_typed_dict(cls: Any, data: object) -> Any:
    """An object with the fields of a TypedDict, and perhaps others, which stay as they are, since
    later versions may write more. Raises TypeError."""
    if not isinstance(data, Mapping):
        raise TypeError(f"{cls.__name__} is an object, not {data!r:.100}")
    missing = sorted(cls.__required_keys__ - data.keys())
    if missing:
        raise TypeError(f"{cls.__name__} needs {missing[0]}")
    hints = _hints(cls)
    return {name: _value(hints.get(name, Any), value) for name, value in data.items()}


def _value(kind: Any, value: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _first(arguments, value)
    if kind is Any or (origin is Literal and value in arguments):
        return value
    if is_dataclass(kind):
        return read_dataclass(kind, value)  # type: ignore[arg-type]
    if is_typeddict(kind):
        return read_typed_dict(kind, value)
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return {name: _value(arguments[1], each) for name, each in value.items()}
    if isinstance(origin, type) and issubclass(origin, Sequence) and isinstance(value, list):
        items = [_value(arguments[0], item) for item in value]
        return items if origin is list else tuple(items)
    allowed = (int, float) if kind is float else kind
    plain = isinstance(allowed, (type, tuple)) and isinstance(value, allowed)
    if plain and (kind is bool or not isinstance(value, bool)):
        return value
    raise TypeError(f"{value!r:.100} is no {kind}")


def _first(kinds: Sequence[Any], value: Any) -> Any:
    for kind in kinds[:-1]:
        try:
            return _value(kind, value)
        except TypeError:
            continue
    return _value(kinds[-1], value)
