"""Deployed functions, each invoked by itself with the events that AWS would send it."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.deploy.emulator import ROOT
from tests.deploy.project import Stage
from tests.deploy.users import Users

EVENTS = ROOT / "tests" / "events"
LONG_AGO_S = 1_000_000_000


class Bench:
    """Invokes a stage's functions for connections that nobody holds: to API Gateway they are all gone."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._lambda = stage.emulator.client("lambda")
        self._dynamodb = stage.emulator.client("dynamodb")
        self._user = Users(stage).add("bench")

    def invoke(self, function: str, event: Any) -> Any:
        """What a function returns; None where it raises."""
        answer = self._lambda.invoke(FunctionName=self.stage.resource(function), Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read())
        return None if "FunctionError" in answer else payload

    def connect(self, connection_id: str) -> bool:
        """$connect of a user that the authorizer has let in; whether it worked."""
        event = json.loads((EVENTS / "connect.json").read_text())
        event["requestContext"] |= {
            "connectionId": connection_id,
            "authorizer": {
                "principalId": self._user.user_id,
                "sender": self._user.name,
                "groups": "[]",
                "authorizedUntil": str(int(time.time()) + 3600),
            },
        }
        return self.invoke("connect", event) is not None

    def disconnect(self, connection_id: str) -> bool:
        """$disconnect; whether it worked."""
        event = json.loads((EVENTS / "disconnect.json").read_text())
        event["requestContext"]["connectionId"] = connection_id
        return self.invoke("disconnect", event) is not None

    def frame(self, connection_id: str, action: str, **fields: Any) -> bool:
        """Whether the function of an action does what a frame asks for."""
        event = json.loads((EVENTS / "message.json").read_text())
        event["requestContext"] |= {"connectionId": connection_id, "routeKey": action}
        event["body"] = json.dumps({"action": action, **fields})
        answer = json.loads(self.invoke(action, event)["body"])
        assert answer.get("code") in (None, "InternalError"), answer
        return bool(answer["type"] != "error")

    def renew(self, connection_id: str) -> bool:
        return self.frame(connection_id, "renew", token=self._user.token())

    def connected(self, group_id: str | None = None) -> str:
        """A new connection, in a group where one is named."""
        connection_id = uuid.uuid4().hex[:16]
        assert self.connect(connection_id)
        if group_id is not None:
            assert self.frame(connection_id, "joinGroup", groupId=group_id)
        return connection_id

    def is_known(self, connection_id: str) -> bool:
        """Whether the connection stands in the table."""
        table = self.stage.resource("connections")
        key = {"connectionId": {"S": connection_id}}
        return "Item" in self._dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)

    def expire(self, connection_id: str) -> None:
        """Have the connection's sign-in ended."""
        self._update(connection_id, "SET authorizedUntil = :value", {"N": str(LONG_AGO_S)})

    def fan_out(self, group_id: str, *, readable: bool = True) -> bool:
        """fanoutMessage on a new message of the group; whether it is done with it."""
        event = json.loads((EVENTS / "stream.json").read_text())
        image = event["Records"][0]["dynamodb"]["NewImage"]
        image["groupId"] = {"S": group_id}
        if not readable:
            del image["seq"]
        return bool(self.invoke("fanoutMessage", event) == {"batchItemFailures": []})

    def finish(self, leftover: str) -> bool:
        """fanoutRetry on a leftover from the queue; whether it is done with it."""
        event = json.loads((EVENTS / "sqs.json").read_text())
        event["Records"][0]["body"] = leftover
        return bool(self.invoke("fanoutRetry", event) == {"batchItemFailures": []})

    def leftover(self, connection_id: str) -> str:
        """A stored message that a connection is still to get."""
        group_id = f"group-{uuid.uuid4()}"
        message_id = str(uuid.uuid4())
        sender = self.connected(group_id)
        assert self.frame(sender, "sendMessage", message="hi", messageId=message_id)
        # Without a slot it is in no index: the stream's own fan-out must not come across it and find it gone.
        self._update(connection_id, "SET groupId = :value", {"S": group_id})
        return json.dumps(
            {"groupId": group_id, "messageIds": [message_id], "connectionIds": [connection_id], "tries": 0}
        )

    def _update(self, connection_id: str, expression: str, value: dict[str, str]) -> None:
        self._dynamodb.update_item(
            TableName=self.stage.resource("connections"),
            Key={"connectionId": {"S": connection_id}},
            UpdateExpression=expression,
            ExpressionAttributeValues={":value": value},
        )

    @contextmanager
    def gateway_answers(self, function: str, status: HTTPStatus) -> Iterator[None]:
        """Have all posts of a function answered with a status; what else it asks reaches the gateway."""
        name = self.stage.resource(function)
        environment = self._lambda.get_function_configuration(FunctionName=name)["Environment"]
        with _in_between(self.stage.emulator.endpoint, status) as endpoint:
            path = urlsplit(self.stage.management_url).path
            override = {"AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": f"{endpoint}{path}"}
            changed = {"Variables": environment["Variables"] | override}
            self._lambda.update_function_configuration(FunctionName=name, Environment=changed)
            try:
                yield
            finally:
                self._lambda.update_function_configuration(FunctionName=name, Environment=environment)


@contextmanager
def _in_between(endpoint: str, status: HTTPStatus) -> Iterator[str]:
    """A proxy to `endpoint` that answers POST itself; its own URL."""

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(status)

        def do_DELETE(self) -> None:
            beyond = HTTPConnection(urlsplit(endpoint).netloc)
            # As it came, the Host of its signature included.
            beyond.request("DELETE", self.path, headers=dict(self.headers))
            self._answer(HTTPStatus(beyond.getresponse().status))
            beyond.close()

        def _answer(self, answer: HTTPStatus) -> None:
            self.send_response(answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
