"""Function answers and ids, as pure values."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.gateway.answers import Answer, MalformedError, parse_answer
from localcloud.gateway.ids import is_id, new_id


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ({}, Answer(None, None, None)),
        ({"statusCode": 204}, Answer(204, None, None)),
        ({"statusCode": 200, "body": "é"}, Answer(200, "é".encode(), None)),
        ({"statusCode": 200, "body": ""}, Answer(200, None, None)),
        ({"headers": {"SEC-websocket-PROTOCOL": "chat", "x": 1}}, Answer(None, None, "chat")),
        ({"headers": None, "body": None, "isBase64Encoded": False}, Answer(None, None, None)),
    ],
)
def test_answers_are_parsed(result: dict[str, Any], answer: Answer) -> None:
    """Status, body and the subprotocol header, each optional."""
    assert parse_answer(result) == answer


@pytest.mark.parametrize(
    "result",
    [
        None,
        "ok",
        [],
        {"statusCode": "200"},
        {"statusCode": True},
        {"statusCode": 99},
        {"statusCode": 600},
        {"body": {"type": "ack"}},
        {"body": "\ud800"},
        {"headers": []},
        {"headers": {"Sec-WebSocket-Protocol": "a, b"}},
        {"headers": {"Sec-WebSocket-Protocol": "a\r\nX: y"}},
        {"headers": {"Sec-WebSocket-Protocol": None}},
    ],
)
def test_malformed_answers_are_errors(result: Any) -> None:
    """A wrong shape, or a value that would corrupt a frame or a header."""
    with pytest.raises(MalformedError):
        parse_answer(result)


def test_ids_look_like_api_gateways() -> None:
    """Base64 of 11 random bytes: 16 characters that end in one `=`; no two are the same."""
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(is_id(id_) for id_ in ids)


@pytest.mark.parametrize(
    "text", ["", "L0SM9cOFvHcCIhw", "L0SM9cOFvHcCIhw==", "L0SM9cOFvHcCIh\n=", "é" * 15 + "="]
)
def test_invalid_ids_are_recognised(text: str) -> None:
    """Text of another length or alphabet."""
    assert not is_id(text)
    assert is_id("L0SM9cOFvHcCIhw=")
