"""Checks settings against msgspec types. An error says which setting is wrong, where, and what is allowed."""

from __future__ import annotations

import difflib
import re
import reprlib
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
    raw: Any,
    kind: type[T],
    where: str,
    *,
    ignored: Collection[str] = (),
    is_strict: bool = False,
    raises: type[Exception] = ServiceError,
) -> T:
    """Convert parsed settings to a Section or another type of msgspec. `raises` says what is wrong.

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
        raise raises(f"{where}{reason}") from None


def refuse_unknown(raw: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """ServiceError where a mapping has a key that is not known."""
    for key in raw:
        if key not in known:
            raise ServiceError(f"{where}: {_unknown(key, known)}")


def _explained(problem: str, path: str, raw: Any, kind: Any, ignored: Collection[str]) -> str:
    """The path to the setting, from the end of `where`, and what is wrong with it."""
    info, at = inspect.type_info(kind), ""
    for step in _STEP.finditer(path):
        member = _member(info, step[1])
        if member is None:
            # msgspec does not say which value of a mapping is wrong, so the message shows all of them.
            break
        info, raw, at = member, raw[step[1] or int(step[2])], at + step[0]
    if named := _NAMED.fullmatch(problem):
        if named[1].startswith("missing"):
            return f"{at}: {named[2]} is missing"
        known = [field.encode_name for one in _options(info) for field in getattr(one, "fields", ())]
        return f"{at}: {_unknown(named[2], [*known, *(() if at else ignored)])}"
    parent, _, name = at.rpartition(".")
    return f"{parent}{f': {name}' if name else ''} must be {_allowed(info)}, not {reprlib.repr(raw)}"


def _unknown(key: object, known: Collection[str]) -> str:
    near = difflib.get_close_matches(str(key), known, n=1)
    return f"unknown setting {key}{f'; did you mean {near[0]}?' if near else ''}"


def _options(info: Any) -> list[Any]:
    """The types that a value may have if it is given."""
    types = info.types if isinstance(info, inspect.UnionType) else (info,)
    return [one for one in types if not isinstance(one, inspect.NoneType)]


def _member(info: Any, name: str | None) -> Any:
    """The type of a field or, without a name, of a list's item; None for values of a mapping."""
    for one in _options(info):
        match one:
            case inspect.StructType(fields=fields) if name:
                return next(field.type for field in fields if field.encode_name == name)
            case inspect.ListType(item_type=item_type) if not name:
                return item_type
    return None


def _allowed(info: Any) -> str:
    filled = "non-empty " if getattr(info, "min_length", None) else ""
    match info:
        case inspect.UnionType():
            return " or ".join(map(_allowed, _options(info)))
        case inspect.IntType(ge=int(low), le=int(high)):
            return f"{low} to {high}"
        case inspect.LiteralType(values=values):
            return " or ".join(map(str, values))
        case inspect.DictType(value_type=inner) if not isinstance(inner, inspect.AnyType):
            return f"a {filled}mapping to {_allowed(inner)}"
        case inspect.ListType(item_type=inner):
            return f"a {filled}list of {_allowed(inner)}"
    return _WORDS[type(info)]
