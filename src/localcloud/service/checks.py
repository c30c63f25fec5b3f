"""Strict reading of serverless.yml: what is not known, or out of bounds, is an error that says where."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from localcloud.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def only(value: Any, known: Iterable[str], where: str) -> None:
    """Return where `value` is a mapping with none but known keys; else ServiceError."""
    if not isinstance(value, dict):
        raise ServiceError(f"serverless.yml: {where} must be a mapping")
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(str(key), list(known), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ServiceError(f"serverless.yml: {where}: unknown setting {key}{hint}")


def whole(raw: Mapping[str, Any], key: str, default: int, bounds: tuple[int, int], where: str) -> int:
    """The whole number at `key`, `default` without one; ServiceError if it is not within `bounds`.

    A numeric string counts: parameters are strings where the command line gives them.
    """
    value, (low, high) = raw.get(key, default), bounds
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ServiceError(f"serverless.yml: {where}: {key} must be {low} to {high}, not {value}")
    return value


def flag(raw: Mapping[str, Any], key: str, where: str) -> bool:
    """The boolean at `key`, also as a string; False without one."""
    value = raw.get(key, False)
    if value not in (True, False, "true", "false"):
        raise ServiceError(f"serverless.yml: {where}: {key} must be true or false, not {value}")
    return value in (True, "true")


def choice(raw: Mapping[str, Any], key: str, choices: tuple[str, ...], where: str) -> str | None:
    """The string at `key`, or None if it is missing; ServiceError unless it is one of `choices`."""
    value = raw.get(key)
    if value is not None and value not in choices:
        raise ServiceError(f"serverless.yml: {where}: {key} must be {' or '.join(choices)}, not {value}")
    return value
