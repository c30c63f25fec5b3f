"""Parses a function's return value as API Gateway does. Pure.

Shape: the Lambda proxy integration's response; `Sec-WebSocket-Protocol` is the only header that a WebSocket
API passes on (developer guide, "Set up a $connect route that requires a WebSocket subprotocol").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from localcloud.service.checks import checked

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class MalformedError(Exception):
    """A function returned a value that API Gateway cannot use; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A function's answer. A missing `status` is None, and so is an empty `body`."""

    status: int | None
    body: bytes | None
    subprotocol: str | None


class _Result(msgspec.Struct, rename="camel"):
    status_code: Annotated[int, Meta(ge=200, le=599)] | None = None
    body: str = ""
    headers: dict[str, Any] = {}


def parse_answer(result: Any) -> Answer:
    """Read a function's return value. Raises MalformedError."""
    given = checked(result, _Result, "the function's answer", is_strict=True, raises=MalformedError)
    try:
        body = given.body.encode() or None
    except UnicodeEncodeError as error:
        raise MalformedError(f"the function's answer: body cannot be sent: {error.reason}") from error
    return Answer(given.status_code, body, _subprotocol(given.headers))


def _subprotocol(headers: dict[str, Any]) -> str | None:
    for name, value in headers.items():
        if name.lower() == "sec-websocket-protocol":
            # A comma or a line break would corrupt the handshake.
            if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
                raise MalformedError(f"Sec-WebSocket-Protocol {value!r} is not one subprotocol")
            return value
    return None
