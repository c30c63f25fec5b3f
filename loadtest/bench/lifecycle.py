"""An event for every function, in the order of a connection's life cycle."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias

from groupcast.fanout.leftover import Leftover, to_body
from loadtest.bench.events import offers
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

GROUP = "group1"
MESSAGE_BYTES = 200


@dataclass(slots=True)
class Life:
    """State for the events of one connection: its token, the authorizer's context, a stored message's key."""

    api: Api
    token: str
    who: dict[str, Any] = field(default_factory=dict)
    message_key: str = ""

    def learn(self, function: str, answer: Any) -> None:
        """Keep the values of an answer that later events need. RuntimeError if the answer is an error."""
        if function == "authorize":
            self.who = {**answer["context"], "principalId": answer["principalId"]}
        elif "batchItemFailures" in answer:
            if answer["batchItemFailures"]:
                raise RuntimeError(f"{function} answered {answer}")
        else:
            frame = json.loads(answer.get("body", "{}"))
            if answer["statusCode"] != HTTPStatus.OK or (frame.get("type") == "error") is not (
                function == "default"
            ):
                raise RuntimeError(f"{function} answered {answer}")
            if function == "sendMessage":
                self.message_key = f"{self.who['principalId']}:{frame['messageId']}"


Event: TypeAlias = Callable[[Life, str], dict[str, Any]]


def _request(life: Life) -> ConnectRequest:
    return ConnectRequest((("Host", "127.0.0.1"),), f"token={life.token}")


def _client(connection_id: str) -> Client:
    return Client(connection_id, time.time_ns() // 1_000_000, "127.0.0.1", None)


def _stamp() -> Stamp:
    return Stamp("r", time.time_ns() // 1_000_000)


def _message(action: str, fields: Callable[[Life], dict[str, Any]] = lambda _: {}) -> Event:
    def event(life: Life, one: str) -> dict[str, Any]:
        body = json.dumps({"action": action, **fields(life)})
        return message_event(
            life.api, _client(one), _stamp(), route_key=action, message_id="m", body=body, authorizer=life.who
        )

    return event


def _leftover(life: Life, one: str) -> dict[str, Any]:
    record = offers(GROUP, 1, MESSAGE_BYTES)[0]
    return {"Records": [{**record, "body": to_body(Leftover(GROUP, (life.message_key,), (one,)))}]}


# Keyed by the functions' names in serverless.yml.
EVENTS: dict[str, Event] = {
    "authorize": lambda life, one: authorizer_event(life.api, _client(one), _stamp(), _request(life)),
    "connect": lambda life, one: connect_event(life.api, _client(one), _stamp(), _request(life), life.who),
    "joinGroup": _message("joinGroup", lambda _: {"groupId": GROUP}),
    "sendMessage": _message("sendMessage", lambda _: {"message": "hello"}),
    "history": _message("history", lambda _: {"limit": 50, "before": 1_000}),
    "ping": _message("ping"),
    "renew": _message("renew", lambda life: {"token": life.token}),
    "default": _message("nothing"),
    "fanoutMessage": lambda _life, _one: {"Records": offers(GROUP, 1, MESSAGE_BYTES)},
    "fanoutRetry": _leftover,
    "leaveGroup": _message("leaveGroup"),
    "disconnect": lambda life, one: disconnect_event(
        life.api, _client(one), _stamp(), code=1000, reason="", authorizer=life.who
    ),
}
