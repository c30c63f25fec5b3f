"""Parses a function's return value as API Gateway does. Pure.

Shape: the Lambda proxy integration's response; `Sec-WebSocket-Protocol` is the only header that a WebSocket
API passes on (developer guide, "Set up a $connect route that requires a WebSocket subprotocol").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LOWEST_STATUS, _HIGHEST_STATUS = 200, 599


class MalformedError(Exception):
    """A function returned a value that API Gateway cannot use; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A function's answer. `status` and `body` are None if absent."""

    status: int | None
    body: bytes | None
    subprotocol: str | None


def parse_answer(result: Any) -> Answer:
    """Parse a function's return value. Raises MalformedError."""
    if not isinstance(result, dict):
        raise MalformedError(f"the function returned {type(result).__name__}, not an object")
    status, body, headers = (result.get(name) for name in ("statusCode", "body", "headers"))
    return Answer(_status(status), _body(body), _subprotocol(headers))


def _status(status: Any) -> int | None:
    if status is None:
        return None
    if type(status) is not int or not _LOWEST_STATUS <= status <= _HIGHEST_STATUS:
        raise MalformedError(f"statusCode {status!r} is not an HTTP status")
    return status


def _body(body: Any) -> bytes | None:
    if body is None or body == "":
        return None
    if not isinstance(body, str):
        raise MalformedError(f"body is {type(body).__name__}, not a string")
    try:
        return body.encode()
    except UnicodeEncodeError as error:
        raise MalformedError(f"body cannot be sent: {error.reason}") from error


def _subprotocol(headers: Any) -> str | None:
    if headers is None:
        return None
    if not isinstance(headers, dict):
        raise MalformedError("headers is not an object")
    for name, value in headers.items():
        if name.lower() == "sec-websocket-protocol":
            # A comma or a line break would corrupt the handshake.
            if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
                raise MalformedError(f"Sec-WebSocket-Protocol {value!r} is not one subprotocol")
            return value
    return None
