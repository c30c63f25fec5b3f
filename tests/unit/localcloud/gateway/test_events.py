"""The events match API Gateway's, field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localcloud.gateway.events import (
    Api,
    Client,
    ConnectRequest,
    Stamp,
    authorizer_event,
    connect_event,
    disconnect_event,
    message_event,
)

EVENTS = Path(__file__).parents[3] / "events"

API = Api("q7w2k9d4xa", "dev", "eu-central-1", "q7w2k9d4xa.execute-api.eu-central-1.amazonaws.com")


def recorded(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / name).read_text())
    return event


def client(event: dict[str, Any]) -> Client:
    context = event["requestContext"]
    identity = context["identity"]
    return Client(
        context["connectionId"], context["connectedAt"], identity["sourceIp"], identity.get("userAgent")
    )


def stamp(event: dict[str, Any]) -> Stamp:
    return Stamp(event["requestContext"]["requestId"], event["requestContext"]["requestTimeEpoch"])


def test_connect_event_equals_the_recorded_one() -> None:
    """For the same request, value for value."""
    event = recorded("connect.json")
    request = ConnectRequest(
        (*event["headers"].items(), ("Connection", "Upgrade"), ("Upgrade", "websocket")), "name=Ann"
    )
    built = connect_event(API, client(event), stamp(event), request, event["requestContext"]["authorizer"])
    assert built == event


def test_message_event_equals_the_recorded_one() -> None:
    """For the same message, value for value."""
    event = recorded("message.json")
    context = event["requestContext"]
    built = message_event(
        API,
        client(event),
        stamp(event),
        route_key=context["routeKey"],
        message_id=context["messageId"],
        body=event["body"],
        authorizer=context["authorizer"],
    )
    assert built == event


def test_disconnect_event_equals_the_recorded_one() -> None:
    """For the same close, value for value."""
    event = recorded("disconnect.json")
    context = event["requestContext"]
    built = disconnect_event(
        API,
        client(event),
        stamp(event),
        code=context["disconnectStatusCode"],
        reason=context["disconnectReason"],
        authorizer=context["authorizer"],
    )
    assert built == event


def test_missing_values_have_no_keys() -> None:
    """Query, user agent and authorizer are absent instead of null."""
    request = ConnectRequest((("Host", "h"),), "")
    event = connect_event(API, Client("id", 1, "127.0.0.1", None), Stamp("r", 2), request, None)
    assert event.keys() == {"headers", "multiValueHeaders", "requestContext", "isBase64Encoded"}
    assert event["requestContext"]["identity"] == {"sourceIp": "127.0.0.1"}
    assert "authorizer" not in event["requestContext"]


def test_repeated_names_keep_every_value_and_single_maps_the_last() -> None:
    """The multi-value maps have all values, the single ones the last."""
    request = ConnectRequest((("X-A", "1"), ("X-A", "2")), "g=1&flag&g=%C3%A9+2")
    event = connect_event(API, Client("id", 1, "127.0.0.1", None), Stamp("r", 2), request, None)
    assert event["headers"] == {"X-A": "2"}
    assert event["multiValueHeaders"] == {"X-A": ["1", "2"]}
    assert event["queryStringParameters"] == {"g": "é 2", "flag": ""}
    assert event["multiValueQueryStringParameters"] == {"g": ["1", "é 2"], "flag": [""]}


def test_authorizer_event_shows_the_whole_request() -> None:
    """The ARN to allow, and handshake headers that the integration does not get."""
    request = ConnectRequest((("Host", "h"), ("Connection", "Upgrade"), ("Upgrade", "websocket")), "token=t")
    event = authorizer_event(API, Client("id", 1, "127.0.0.1", "agent"), Stamp("r", 0), request)
    context = event.pop("requestContext")
    assert event == {
        "type": "REQUEST",
        "methodArn": "arn:aws:execute-api:eu-central-1:123456789012:q7w2k9d4xa/dev/$connect",
        "headers": {"Host": "h", "Connection": "Upgrade", "Upgrade": "websocket"},
        "multiValueHeaders": {"Host": ["h"], "Connection": ["Upgrade"], "Upgrade": ["websocket"]},
        "queryStringParameters": {"token": "t"},
        "multiValueQueryStringParameters": {"token": ["t"]},
        "stageVariables": {},
    }
    assert context == {
        "routeKey": "$connect",
        "eventType": "CONNECT",
        "extendedRequestId": "r",
        "requestTime": "01/Jan/1970:00:00:00 +0000",
        "messageDirection": "IN",
        "stage": "dev",
        "connectedAt": 1,
        "requestTimeEpoch": 0,
        "identity": {"userAgent": "agent", "sourceIp": "127.0.0.1"},
        "requestId": "r",
        "domainName": API.domain_name,
        "connectionId": "id",
        "apiId": "q7w2k9d4xa",
    }


@pytest.mark.parametrize("month", range(1, 13))
def test_request_time_names_every_month_in_english(month: int) -> None:
    """In any locale."""
    names = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
    at_ms = (month - 1) * 31 * 86_400_000
    event = disconnect_event(
        API, Client("id", 1, "ip", None), Stamp("r", at_ms), code=1000, reason="", authorizer=None
    )
    assert event["requestContext"]["requestTime"].split("/")[1] == names[month - 1]
