"""Plain JSON values back to dataclasses; the way there is orjson's own."""

from __future__ import annotations

import types
import typing
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def decode(kind: type[T], data: Any) -> T:
    """`data` as a `kind`: a dataclass of dataclasses, tuples, optional and plain values.

    Raises KeyError where a field is missing, TypeError or AttributeError where a value has another shape.
    """
    return typing.cast("T", _value(kind, data))


def _value(kind: Any, data: Any) -> Any:
    if is_dataclass(kind):
        shape = typing.cast("type[Any]", kind)
        known = _fields(shape)  # type: ignore[arg-type] # mypy doubts that a class is hashable
        return shape(**{name: _value(of, data[name]) for name, of in known})
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is types.UnionType:
        return None if data is None else _value(arguments[0], data)
    if origin is tuple and arguments[-1] is Ellipsis:
        return tuple(_value(arguments[0], item) for item in data)
    # Tuples of a fixed length hold numbers only, and there may be a million of them.
    return tuple(data) if origin is tuple else data


@cache
def _fields(kind: type[Any]) -> list[tuple[str, Any]]:
    kinds = typing.get_type_hints(kind)
    return [(field.name, kinds[field.name]) for field in fields(kind)]
