"""Invokes single deployed functions with the events that AWS would send."""

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
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from groupcast.fanout import offers
from groupcast.fanout.budget import SMALL_MEMBERS
from groupcast.fanout.catchup import BACKLOG_OFFERS
from groupcast.fanout.lanes import RELEASE_S
from groupcast.model import Audience, Message, message_key
from groupcast.slots import slot_of
from groupcast.tables.connections import membership_key
from groupcast.tables.items import encode
from tests.deploy.emulator import ROOT
from tests.deploy.project import Stage
from tests.deploy.users import Users

if TYPE_CHECKING:
    from groupcast.fanout.queue import Outgoing

EVENTS = ROOT / "tests" / "events"
LONG_AGO_S = 1_000_000_000
WAIT_S = 10
# When one environment of a function fails, ministack removes the files of all others, even starting ones.
NOT_STARTED = "Worker init failed"
STARTS_MAX = 3
# In a 429: the client's limit, not the account's.
TURNED_AWAY = "WebSocket client side buffer is full"
CREATED_AT = "2026-11-22T21:00:44.183Z"

Record = dict[str, Any]


class Bench:
    """Invokes a stage's functions for made-up connections, which API Gateway calls gone."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._lambda = stage.emulator.client("lambda")
        self._dynamodb = stage.emulator.client("dynamodb")
        self._sqs = stage.emulator.client("sqs")
        self._delivery_url = self.queue_url("delivery.fifo")
        self._user = Users(stage).add("bench")
        # Each connection gets its own user, since a user's connections are limited.
        self._user_ids: dict[str, str] = {}

    def invoke(self, function: str, event: Any) -> Any:
        """Return a function's result; None if it raises."""
        name = self.stage.resource(function)
        for _ in range(STARTS_MAX):
            answer = self._lambda.invoke(FunctionName=name, Payload=json.dumps(event))
            payload = json.loads(answer["Payload"].read())
            if "FunctionError" not in answer:
                return payload
            if not payload["errorMessage"].startswith(NOT_STARTED):
                break
        return None

    def token(self) -> str:
        """A token of a user of the pool."""
        return self._user.token()

    def authorize(self, token: str) -> Any:
        """Return the authorizer's context for a token; None if it raises."""
        arn = f"arn:aws:execute-api:us-east-1:000000000000:{self.stage.api_id}/{self.stage.name}/$connect"
        return self.invoke(
            "authorize", {"multiValueQueryStringParameters": {"token": [token]}, "methodArn": arn}
        )

    def connect(
        self, connection_id: str, user_id: str | None = None, groups: tuple[str, ...] = ()
    ) -> int | None:
        """Run $connect for an authorized user; return its status, None if it failed.

        Each connection gets its own user unless one is named.
        """
        user_id = self._user_ids[connection_id] = user_id or str(uuid.uuid4())
        event = json.loads((EVENTS / "connect.json").read_text())
        event["requestContext"] |= {
            "connectionId": connection_id,
            # An old connection would not count for its user.
            "connectedAt": int(time.time() * 1000),
            "authorizer": {
                "principalId": user_id,
                "sender": self._user.name,
                "groups": json.dumps(groups),
                "authorizedUntil": str(int(time.time()) + 3600),
            },
        }
        answer = self.invoke("connect", event)
        return None if answer is None else int(answer["statusCode"])

    def disconnect(self, connection_id: str) -> bool:
        """Run $disconnect; return whether it succeeded."""
        return self.invoke("disconnect", self._event("disconnect.json", connection_id)) is not None

    def frame(self, connection_id: str, action: str, **fields: Any) -> bool:
        """Run an action's function; return whether it did its work."""
        event = self._event("message.json", connection_id, routeKey=action)
        event["body"] = json.dumps({"action": action, **fields})
        answer = json.loads(self.invoke(action, event)["body"])
        assert answer.get("code") in (None, "InternalError"), answer
        return bool(answer["type"] != "error")

    def _event(self, name: str, connection_id: str, **context: str) -> dict[str, Any]:
        event: dict[str, Any] = json.loads((EVENTS / name).read_text())
        authorizer = {"principalId": self._user_ids[connection_id]}
        event["requestContext"] |= {"connectionId": connection_id, "authorizer": authorizer, **context}
        return event

    def renew(self, connection_id: str) -> bool:
        return self.frame(connection_id, "renew", token=self._user.token())

    def renewable(self, groups: tuple[str, ...] = ()) -> str:
        """A new connection of the user who can `renew`; `groups` are those of its present token."""
        connection_id = uuid.uuid4().hex[:16]
        assert self.connect(connection_id, self._user.user_id, groups) == HTTPStatus.OK
        return connection_id

    def remove(self, connection_id: str) -> None:
        """Remove a connection's own item, and leave its memberships."""
        key = {"connectionId": {"S": connection_id}, "entry": {"S": "connection"}}
        self._dynamodb.delete_item(TableName=self.stage.resource("connections"), Key=key)

    def connected(self, group_id: str | None = None) -> str:
        """An old, inactive connection, in a group if one is named."""
        connection_id = uuid.uuid4().hex[:16]
        assert self.connect(connection_id) == HTTPStatus.OK
        if group_id is not None:
            assert self.frame(connection_id, "joinGroup", groupId=group_id)
        key = {"connectionId": {"S": connection_id}, "entry": {"S": "connection"}}
        self._update(key, "SET connectedAt = :value", {"N": str(LONG_AGO_S * 1000)})
        self._dynamodb.delete_item(
            TableName=self.stage.resource("quotas"),
            Key={"name": {"S": f"user:{self._user_ids[connection_id]}"}},
        )
        return connection_id

    def is_known(self, connection_id: str) -> bool:
        """Whether the connection is in the table."""
        table = self.stage.resource("connections")
        key = {"connectionId": {"S": connection_id}, "entry": {"S": "connection"}}
        return "Item" in self._dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)

    def expire(self, connection_id: str) -> None:
        """Have the connection's sign-in ended."""
        answer = self._dynamodb.query(
            TableName=self.stage.resource("connections"),
            KeyConditionExpression="connectionId = :id",
            ExpressionAttributeValues={":id": {"S": connection_id}},
        )
        for item in answer["Items"]:
            key = {name: item[name] for name in ("connectionId", "entry")}
            self._update(key, "SET authorizedUntil = :value", {"N": str(LONG_AGO_S)})

    def offer(self, group_id: str, *, readable: bool = True) -> bool:
        """Run fanoutMessage on a new message in the stream; return whether it succeeded."""
        event = json.loads((EVENTS / "stream.json").read_text())
        image = event["Records"][0]["dynamodb"]["NewImage"]
        image |= {"groupId": {"S": group_id}, "messageId": {"S": str(uuid.uuid4())}}
        if not readable:
            del image["seq"]
        return bool(self.invoke("fanoutMessage", event) == {"batchItemFailures": []})

    def fan_out(self, group_id: str, *, members: int = 0) -> bool:
        """Run fanoutMessage on an offer to a group of `members`; return whether it succeeded."""
        return self.deliver(self._record(self._offer(group_id, members).body, uuid.uuid4().hex))

    def deliver(self, record: Record) -> bool:
        """Run fanoutMessage on a message of DeliveryQueue; return whether it succeeded."""
        return bool(self.invoke("fanoutMessage", {"Records": [record]}) == {"batchItemFailures": []})

    def received(self, group_id: str) -> Record:
        """Receive an offer as Lambda does, which locks it; only while `paused`."""
        offer = self._offer(group_id)
        self._sqs.send_message(
            QueueUrl=self._delivery_url,
            MessageBody=offer.body,
            MessageGroupId=offer.group_id,
            MessageDeduplicationId=offer.deduplication_id,
        )
        handle = self._receive(group_id, WAIT_S)
        assert handle is not None
        return self._record(offer.body, handle)

    def waits(self, group_id: str, wait_s: float = 1) -> bool:
        """Whether an offer to a group is in DeliveryQueue or arrives within `wait_s`."""
        return self._receive(group_id, wait_s) is not None

    def comes_again(self, group_id: str) -> bool:
        """Whether an unfinished offer becomes visible long before the visibility timeout."""
        return self.waits(group_id, RELEASE_S + 15)

    def is_held(self, record: Record) -> bool:
        """Whether a message is still in DeliveryQueue."""
        try:
            self._sqs.change_message_visibility(
                QueueUrl=self._delivery_url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=30
            )
        except ClientError:
            return False
        return True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the triggers of the stream and DeliveryQueue meanwhile; purge the queue at the end."""
        name = self.stage.resource("fanoutMessage")
        mappings = self._lambda.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
        assert len(mappings) == 2
        try:
            for mapping in mappings:
                self._lambda.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
            yield
        finally:
            self._sqs.purge_queue(QueueUrl=self._delivery_url)
            for mapping in mappings:
                self._lambda.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    def make_group(self) -> str:
        """Create a group that has had a message."""
        group_id = f"group-{uuid.uuid4()}"
        item = {"groupId": {"S": group_id}, "lastSeq": {"N": "1"}, "movedAt": {"N": "1"}}
        self._dynamodb.put_item(TableName=self.stage.resource("groups"), Item=item)
        return group_id

    def note_served(self, group_id: str) -> None:
        """Mark the message that `fan_out` offers as already taken from the log."""
        item = self._get("groups", {"groupId": {"S": group_id}})
        served = {"servedFrom0to65535": {"N": "1"}, "servedTo0to65535": {"N": "1"}}
        self._dynamodb.put_item(TableName=self.stage.resource("groups"), Item=item | served)

    def store(self, group_id: str, seq: int) -> None:
        """Put a message into the log."""
        message = Message(str(uuid.uuid4()), group_id, seq, "ann", "hi", CREATED_AT)
        item = encode({"messageId": message.message_id, "groupId": group_id, "seq": seq, "sender": "ann"})
        item |= encode({"message": message.text, "createdAt": message.created_at})
        self._dynamodb.put_item(TableName=self.stage.resource("messages"), Item=item)

    def work_off(self, group_id: str) -> bool:
        """Run fanoutMessage on a backlog of a large group; return whether it succeeded."""
        body = self._offer(group_id, SMALL_MEMBERS + 1).body
        records = [self._record(body, uuid.uuid4().hex) for _ in range(BACKLOG_OFFERS)]
        return bool(self.invoke("fanoutMessage", {"Records": records}) == {"batchItemFailures": []})

    def served_to(self, group_id: str) -> int | None:
        """The last message taken from the log, as noted in the group's item."""
        item = self._get("groups", {"groupId": {"S": group_id}})
        return int(item["servedTo0to65535"]["N"]) if "servedTo0to65535" in item else None

    def noted_members(self, group_id: str) -> int | None:
        """The number of members noted in the group's item."""
        item = self._get("groups", {"groupId": {"S": group_id}})
        return int(item["members"]["N"]) if "members" in item else None

    def booked_until_us(self) -> int:
        """The time up to which the budget is booked."""
        item = self._get("quotas", {"name": {"S": "posts"}})
        return int(item["freeAtUs"]["N"]) if item else 0

    def finish(self, leftover: str) -> bool:
        """Run fanoutRetry on a leftover; return whether it succeeded."""
        event = json.loads((EVENTS / "sqs.json").read_text())
        event["Records"][0]["body"] = leftover
        return bool(self.invoke("fanoutRetry", event) == {"batchItemFailures": []})

    def leftover(self, *connection_ids: str, refusals: int = 0) -> str:
        """A stored message owed to connections, after `refusals` refused posts to each."""
        group_id, key = self._sent()
        for connection_id in connection_ids:
            # Without a slot it is in no index: the message's own fan-out must not find it gone.
            self._put_membership(connection_id, group_id)
        counts = [refusals] * len(connection_ids)
        return _leftover(group_id, key, {"connectionIds": connection_ids, "refusals": counts})

    def range_leftover(self, connection_id: str) -> str:
        """A stored message owed to a slot range that contains the connection."""
        group_id, key = self._sent()
        slot = slot_of(connection_id)
        self._put_membership(connection_id, group_id, slot=slot)
        return _leftover(group_id, key, {"slots": [slot, slot]})

    def _sent(self) -> tuple[str, str]:
        """Send a message and wait until its own fan-out has found a member gone; return group and key."""
        group_id, message_id = f"group-{uuid.uuid4()}", str(uuid.uuid4())
        sender, member = self.connected(group_id), self.connected(group_id)
        assert self.frame(sender, "sendMessage", message="hi", messageId=message_id)
        # A recently active connection would get a second try.
        assert self.disconnect(sender)
        until = time.monotonic() + WAIT_S
        while self.is_known(member):
            assert time.monotonic() < until, "the message was not fanned out"
            time.sleep(0.05)
        return group_id, message_key(self._user_ids[sender], message_id)

    def _offer(self, group_id: str, members: int = 0) -> Outgoing:
        message = Message(str(uuid.uuid4()), group_id, 1, "ann", "hi", CREATED_AT)
        (offer,) = offers.outgoing([message], Audience(members))
        return offer

    def _record(self, body: str, receipt_handle: str) -> Record:
        record: Record = json.loads((EVENTS / "sqs.json").read_text())["Records"][0]
        return record | {
            "messageId": str(uuid.uuid4()),
            "receiptHandle": receipt_handle,
            "body": body,
            "eventSourceARN": record["eventSourceARN"].replace("-retry", "-delivery.fifo"),
        }

    def _receive(self, group_id: str, wait_s: float) -> str | None:
        """The receipt handle of an offer to a group, which is locked for the queue's visibility timeout."""
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            got = self._sqs.receive_message(
                QueueUrl=self._delivery_url, MaxNumberOfMessages=10, WaitTimeSeconds=1
            )
            for message in got.get("Messages", ()):
                if json.loads(message["Body"])["groupId"] == group_id:
                    return str(message["ReceiptHandle"])
        return None

    def queue_url(self, name: str) -> str:
        return str(self._sqs.get_queue_url(QueueName=self.stage.resource(name))["QueueUrl"])

    def _get(self, table: str, key: dict[str, Any]) -> dict[str, Any]:
        name = self.stage.resource(table)
        found = self._dynamodb.get_item(TableName=name, Key=key, ConsistentRead=True)
        item: dict[str, Any] = found.get("Item", {})
        return item

    def _put_membership(self, connection_id: str, group_id: str, **numbers: int) -> None:
        item = {
            **membership_key(connection_id, group_id),
            **encode({"groupId": group_id, "authorizedUntil": int(time.time()) + 3600, **numbers}),
        }
        self._dynamodb.put_item(TableName=self.stage.resource("connections"), Item=item)

    def _update(self, key: dict[str, Any], expression: str, value: dict[str, str]) -> None:
        self._dynamodb.update_item(
            TableName=self.stage.resource("connections"),
            Key=key,
            UpdateExpression=expression,
            ExpressionAttributeValues={":value": value},
        )

    @contextmanager
    def gateway_answers(
        self, function: str, status: HTTPStatus, message: str = TURNED_AWAY
    ) -> Iterator[None]:
        """Answer all posts of a function with a status; pass its other calls to the gateway."""
        with _in_between(self.stage.emulator.endpoint, status, message) as endpoint:
            path = urlsplit(self.stage.management_url).path
            override = {"AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": f"{endpoint}{path}"}
            with self.environment(function, override):
                yield

    @contextmanager
    def environment(self, function: str, override: dict[str, str]) -> Iterator[None]:
        """Override a function's environment variables temporarily."""
        name = self.stage.resource(function)
        environment = self._lambda.get_function_configuration(FunctionName=name)["Environment"]
        changed = {"Variables": environment["Variables"] | override}
        self._lambda.update_function_configuration(FunctionName=name, Environment=changed)
        try:
            yield
        finally:
            self._lambda.update_function_configuration(FunctionName=name, Environment=environment)


def _leftover(group_id: str, key: str, whom: dict[str, Any]) -> str:
    return json.dumps({"groupId": group_id, "messageIds": [key], **whom, "tries": 0})


@contextmanager
def _in_between(endpoint: str, status: HTTPStatus, message: str) -> Iterator[str]:
    """Run a proxy to `endpoint` that answers POST itself; yield its URL."""
    body = json.dumps({"message": message}).encode()

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(status)

        def do_DELETE(self) -> None:
            beyond = HTTPConnection(urlsplit(endpoint).netloc)
            # Unchanged, including the signed Host.
            beyond.request("DELETE", self.path, headers=dict(self.headers))
            self._answer(HTTPStatus(beyond.getresponse().status))
            beyond.close()

        def _answer(self, answer: HTTPStatus) -> None:
            self.send_response(answer)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
