"""HTTP/1.1 responses as bytes. Pure."""

from __future__ import annotations

from http import HTTPStatus

import orjson

# Built once: a fan-out gets this answer tens of thousands of times a second.
_OK_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 0\r\nx-amzn-requestid: "
_END = b"\r\n\r\n"


def ok(request_id: bytes) -> bytes:
    """Return a 200 with an empty body."""
    return _OK_HEAD + request_id + _END


def response(status: int, request_id: bytes, *, error_type: str = "", body: bytes = b"") -> bytes:
    """Return a JSON response; `error_type` goes into the header that AWS clients read it from."""
    lines = [f"HTTP/1.1 {status} {reason_phrase(status)}", "content-type: application/json"]
    # RFC 9110, 8.6: a 204 has no Content-Length.
    if status != HTTPStatus.NO_CONTENT:
        lines.append(f"content-length: {len(body)}")
    if error_type:
        lines.append(f"x-amzn-errortype: {error_type}")
    return "\r\n".join([*lines, "x-amzn-requestid: "]).encode() + request_id + _END + body


def message_body(message: str | None) -> bytes:
    """Return AWS's JSON for an error's text; null if there is none."""
    return orjson.dumps({"message": message})


def closing(answer: bytes) -> bytes:
    """Return the response with `Connection: close`."""
    return answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)


def reason_phrase(status: int) -> str:
    """Return the status's usual name, also for non-standard numbers."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"
