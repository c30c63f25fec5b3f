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
    """The whole number at `key`, `default` without one; ServiceError where it is out of `bounds`."""
    value, (low, high) = raw.get(key, default), bounds
    if not isinstance(value, int) or not low <= value <= high:
        raise ServiceError(f"serverless.yml: {where}: {key} must be {low} to {high}, not {value}")
    return value
