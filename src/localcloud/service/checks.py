"""Checks settings against msgspec types. An error says which setting is wrong, where, and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from localcloud.errors import ServiceError

T = TypeVar("T")

_STEP = re.compile(r"\.([\w-]+)|\[(\d+|\.\.\.)\]")
_NAMED = re.compile(r"Object (contains unknown|missing required) field `(.*)`")
_WORDS: dict[type, str] = {
    inspect.BoolType: "true or false",
    inspect.DictType: "a mapping",
    inspect.FloatType: "a number",
    inspect.IntType: "a whole number",
    inspect.StrType: "text",
    inspect.StructType: "a mapping",
}


class Section(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """A mapping of settings. A field is a setting, in camel case where the file has it."""


def checked(
    raw: Any, kind: type[T], where: str, *, ignored: Collection[str] = (), is_strict: bool = False
) -> T:
    """Convert parsed settings to a Section or another type of msgspec. ServiceError says what is wrong.

    The message begins with `where`. `ignored` settings are allowed and left out, as are those without a
    value. Unless `is_strict`, text counts as the number or boolean that it spells: parameters of the command
    line are text.
    """
    if isinstance(raw, Mapping):
        raw = {key: value for key, value in raw.items() if key not in ignored and value is not None}
    try:
        return msgspec.convert(raw, kind, strict=is_strict)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `")
        reason = _explained(problem, path.rpartition("`")[0], raw, kind, ignored)
        raise ServiceError(f"{where}{reason}") from None


def refuse_unknown(raw: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """ServiceError where a mapping has a key that is not known."""
    for key in raw:
        if key not in known:
            raise ServiceError(f"{where}: {_unknown(key, known)}")


def _explained(problem: str, path: str, raw: Any, kind: Any, ignored: Collection[str]) -> str:
    """The path to the setting, from the end of `where`, and what is wrong with it."""
    info, at = _plain(inspect.type_info(kind)), ""
    for step in _STEP.finditer(path):
        if isinstance(info, inspect.DictType):
            # msgspec does not say which of its values is wrong, so the message shows the whole mapping.
            break
        info = _member(info, step[1])
        raw = raw[step[1] or int(step[2])]
        at += step[0]
    named = _NAMED.fullmatch(problem)
    if named and isinstance(info, inspect.StructType):
        known = [field.encode_name for field in info.fields] + [*(() if at else ignored)]
        missing = named[1].startswith("missing")
        return f"{at}: {f'{named[2]} is missing' if missing else _unknown(named[2], known)}"
    parent, _, name = at.rpartition(".")
    return f"{parent}{f': {name}' if name else ''} must be {_allowed(info)}, not {raw}"


def _unknown(key: object, known: Collection[str]) -> str:
    near = difflib.get_close_matches(str(key), known, n=1)
    return f"unknown setting {key}{f'; did you mean {near[0]}?' if near else ''}"


def _plain(info: Any) -> Any:
    """The type that a setting has if it is given."""
    if isinstance(info, inspect.UnionType):
        return next(one for one in info.types if not isinstance(one, inspect.NoneType))
    return info


def _member(info: Any, name: str | None) -> Any:
    """The type of a field or, without its name, of an item."""
    if name is None:
        return _plain(info.item_type)
    return _plain(next(field.type for field in info.fields if field.encode_name == name))


def _allowed(info: Any) -> str:
    filled = "non-empty " if getattr(info, "min_length", None) else ""
    match info:
        case inspect.IntType(ge=int(low), le=int(high)):
            return f"{low} to {high}"
        case inspect.LiteralType(values=values):
            return " or ".join(map(str, values))
        case inspect.DictType(value_type=inner) if not isinstance(inner, inspect.AnyType):
            return f"a {filled}mapping to {_allowed(inner)}"
        case inspect.ListType(item_type=inner):
            return f"a {filled}list of {_allowed(inner)}"
    return _WORDS[type(info)]
