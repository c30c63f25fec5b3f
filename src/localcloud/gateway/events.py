"""Builds the events that API Gateway sends to the functions of a WebSocket API. Pure.

Shapes: API Gateway developer guide, "Set up a WebSocket API integration request" and "Control access to
WebSocket APIs with Lambda REQUEST authorizers"; recorded ones are in tests/events.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from localcloud.service.model import ACCOUNT_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Named here because strftime's month follows the locale and API Gateway's does not.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# API Gateway hides these headers from the integration, but not from the authorizer.
_HOP_HEADERS = frozenset({"connection", "upgrade"})


@dataclass(frozen=True, slots=True)
class Api:
    """The fields that identify the API in every event."""

    api_id: str
    stage: str
    region: str
    domain_name: str

    @property
    def connect_arn(self) -> str:
        """The `methodArn` that an authorizer's policy must allow."""
        return f"arn:aws:execute-api:{self.region}:{ACCOUNT_ID}:{self.api_id}/{self.stage}/$connect"


@dataclass(frozen=True, slots=True)
class Client:
    """The client's fields in every event of a connection. `user_agent` is None if it sent none."""

    connection_id: str
    connected_at_ms: int
    source_ip: str
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Stamp:
    """An event's own id and time."""

    request_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """The upgrade request as received: all headers in order, with repetitions; the query undecoded."""

    headers: tuple[tuple[str, str], ...]
    query: str


def connect_event(
    api: Api, client: Client, stamp: Stamp, request: ConnectRequest, authorizer: Mapping[str, str] | None
) -> dict[str, Any]:
    """Build the event of the `$connect` function."""
    headers = [(name, value) for name, value in request.headers if name.lower() not in _HOP_HEADERS]
    query = parse_qsl(request.query, keep_blank_values=True)
    context = _context(api, client, stamp, authorizer, routeKey="$connect", eventType="CONNECT")
    return _both_ways("headers", "multiValueHeaders", headers) | (
        # A connection without a query has neither key.
        (_both_ways("queryStringParameters", "multiValueQueryStringParameters", query) if query else {})
        | {"requestContext": context, "isBase64Encoded": False}
    )


def authorizer_event(api: Api, client: Client, stamp: Stamp, request: ConnectRequest) -> dict[str, Any]:
    """Build the event of a REQUEST authorizer."""
    query = parse_qsl(request.query, keep_blank_values=True)
    return {
        "type": "REQUEST",
        "methodArn": api.connect_arn,
        **_both_ways("headers", "multiValueHeaders", request.headers),
        **_both_ways("queryStringParameters", "multiValueQueryStringParameters", query),
        "stageVariables": {},
        "requestContext": _context(api, client, stamp, None, routeKey="$connect", eventType="CONNECT"),
    }


def message_event(
    api: Api,
    client: Client,
    stamp: Stamp,
    *,
    route_key: str,
    message_id: str,
    body: str,
    authorizer: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Build the event of a message's function."""
    context = _context(
        api, client, stamp, authorizer, routeKey=route_key, messageId=message_id, eventType="MESSAGE"
    )
    return {"requestContext": context, "body": body, "isBase64Encoded": False}


def disconnect_event(
    api: Api, client: Client, stamp: Stamp, *, code: int, reason: str, authorizer: Mapping[str, str] | None
) -> dict[str, Any]:
    """Build the event of the `$disconnect` function."""
    context = _context(
        api,
        client,
        stamp,
        authorizer,
        routeKey="$disconnect",
        disconnectStatusCode=code,
        eventType="DISCONNECT",
        disconnectReason=reason,
    )
    headers = [("Host", api.domain_name), ("x-api-key", ""), ("X-Forwarded-For", ""), ("x-restapi", "")]
    return {
        **_both_ways("headers", "multiValueHeaders", headers),
        "requestContext": context,
        "isBase64Encoded": False,
    }


def _context(
    api: Api, client: Client, stamp: Stamp, authorizer: Mapping[str, str] | None, **event: str | int
) -> dict[str, Any]:
    identity = {"userAgent": client.user_agent} if client.user_agent is not None else {}
    return {
        **event,
        **({"authorizer": dict(authorizer)} if authorizer is not None else {}),
        "extendedRequestId": stamp.request_id,
        "requestTime": _request_time(stamp.at_ms),
        "messageDirection": "IN",
        "stage": api.stage,
        "connectedAt": client.connected_at_ms,
        "requestTimeEpoch": stamp.at_ms,
        "identity": {**identity, "sourceIp": client.source_ip},
        "requestId": stamp.request_id,
        "domainName": api.domain_name,
        "connectionId": client.connection_id,
        "apiId": api.api_id,
    }


def _both_ways(single: str, multi: str, pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    every: dict[str, list[str]] = {}
    for name, value in pairs:
        every.setdefault(name, []).append(value)
    return {single: {name: values[-1] for name, values in every.items()}, multi: every}


def _request_time(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{at:%d}/{_MONTHS[at.month - 1]}/{at:%Y:%H:%M:%S} +0000"
