"""A client, as API Gateway reports it to the functions of the routes."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from typing import Any

from tests.unit.groupcast.cloud import Cloud
from tests.unit.groupcast.functions import Functions, Output

_numbers = itertools.count()
REQUEST_ID = "request="
CONNECTIONS = "groupcast-functions-connections"


class Client:
    """One connection. `user` is the prefix of a name that nobody else has; None is a guest."""

    def __init__(
        self, functions: Functions, output: Output, user: str | None = None, groups: tuple[str, ...] = ()
    ) -> None:
        self.functions = functions
        self.output = output
        self.id = f"connection-{next(_numbers)}="
        self.user = user
        self.authorizer: dict[str, str] = {"principalId": "guest", "sender": "guest"}
        if user is not None:
            self.user = user if "-" in user else f"{user}-{uuid.uuid4()}"
            self.authorizer = {
                "principalId": f"id-of-{self.user}",
                "sender": self.user,
                "groups": json.dumps(groups),
                "authorizedUntil": str(int(time.time()) + 3600),
            }

    def event(self, route: str, body: str | None = None) -> dict[str, Any]:
        context = {
            "connectionId": self.id,
            "connectedAt": time.time_ns() // 1_000_000,
            "routeKey": route,
            "requestId": REQUEST_ID,
            "authorizer": self.authorizer,
        }
        return {"requestContext": context} | ({} if body is None else {"body": body})

    def connect(self, **more: Any) -> dict[str, Any]:
        return self.functions.invoke("connect", self.event("$connect") | more, self.output.service)

    def disconnect(self) -> dict[str, Any]:
        return self.functions.invoke("disconnect", self.event("$disconnect"), self.output.service)

    def send(self, action: str, **fields: Any) -> dict[str, Any]:
        """The reply to a frame."""
        return self.send_text(action, json.dumps({"action": action, **fields}))

    def send_text(self, function: str, body: str | None) -> dict[str, Any]:
        """The reply of a route's function to any text."""
        event = self.event(function, body)
        answer = self.functions.invoke(function, event, self.output.service)
        assert answer["statusCode"] == 200
        reply: dict[str, Any] = json.loads(answer["body"])
        return reply

    def join(self, group: str | None = None) -> str:
        """Join a group, by default one that nobody else is in; return its name."""
        group = group or f"group-{uuid.uuid4()}"
        assert self.send("joinGroup", groupId=group)["type"] == "joined"
        return group

    def amend(self, cloud: Cloud, name: str, number: int) -> None:
        """Change a number in the items of the connection."""
        items = self.items(cloud)
        assert any(name in item for item in items)
        for item in items:
            cloud.dynamodb.put_item(TableName=CONNECTIONS, Item={**item, name: {"N": str(number)}})

    def items(self, cloud: Cloud) -> list[dict[str, Any]]:
        """The items of the connection."""
        found: list[dict[str, Any]] = cloud.dynamodb.query(
            TableName=CONNECTIONS,
            KeyConditionExpression="connectionId = :id",
            ExpressionAttributeValues={":id": {"S": self.id}},
        )["Items"]
        return found

    def spend(self, cloud: Cloud) -> None:
        """Leave the user no tokens for a minute."""
        account = f"connection:{self.id}" if self.user is None else f"user:id-of-{self.user}"
        full_at_us = time.time_ns() // 1_000 + 60_000_000
        cloud.dynamodb.update_item(
            TableName="groupcast-functions-quotas",
            Key={"name": {"S": account}},
            UpdateExpression="SET fullAtUs = :full",
            ExpressionAttributeValues={":full": {"N": str(full_at_us)}},
        )
