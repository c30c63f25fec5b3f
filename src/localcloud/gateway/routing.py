"""Selects the route of a message. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Never

from localcloud.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localcloud.service.model import Route

CONNECT, DISCONNECT, DEFAULT = "$connect", "$disconnect", "$default"

_EXPRESSION = re.compile(r"\$request\.body((?:\.[A-Za-z0-9_-]+)+)")


def parse_selection_expression(expression: str) -> tuple[str, ...]:
    """Return the path to the route key: `$request.body.action` gives `("action",)`.

    Raises ServiceError for an expression that reads anything but the body.
    """
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise ServiceError(f"route selection expression {expression!r}: only $request.body.NAME is supported")
    return tuple(match[1][1:].split("."))


def select_route(body: str, routes: Mapping[str, Route], path: tuple[str, ...]) -> Route | None:
    """Return the route of a message, else `$default`'s, else None."""
    key = _route_key(body, path)
    # Clients must not reach $connect by naming it.
    if key is not None and not key.startswith("$") and key in routes:
        return routes[key]
    return routes.get(DEFAULT)


def _route_key(body: str, path: tuple[str, ...]) -> str | None:
    try:
        # Not orjson: it refuses escaped lone surrogates, which API Gateway accepts. Numbers stay text, so
        # that a hundred thousand digits cost nothing.
        value: Any = json.loads(body, parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def _refuse_constant(name: str) -> Never:
    raise ValueError(name)
