"""Routes: each frame gets its reply, whatever fails behind it; refusals are counted by code."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from localcloud.service.definition import load_service
from tests.conftest import REGION, ROOT
from tests.unit.groupcast.cloud import STAGE, Cloud, Fault, token
from tests.unit.groupcast.functions import Functions, Metric, Output
from tests.unit.groupcast.handlers.clients import REQUEST_ID, Client

SERVICE = load_service(ROOT / "serverless.yml", stage=STAGE, region=REGION, params={})
ROUTES = [route.function for route in SERVICE.routes.values() if not route.key.startswith("$")]


def refused(output: Output, code: str) -> Metric:
    return Metric("frames_refused", "Count", [1.0], {"code": code, "service": output.service})


def test_a_conversation(guest: Client, another: Callable[[Client], Client], output: Output) -> None:
    """Every route answers as the protocol says, repeats the frame's id, and counts nothing."""
    group = guest.join()
    bob = another(guest)
    bob.join(group)
    ack = guest.send("sendMessage", message="hello", id="7")
    assert ack == {
        "type": "ack",
        "messageId": ack["messageId"],
        "groupId": group,
        "seq": 1,
        "createdAt": ack["createdAt"],
        "id": "7",
    }
    again = bob.send("joinGroup", groupId=group, since=0)
    message = {name: ack[name] for name in ("messageId", "seq", "createdAt")}
    assert (again["type"], again["groupId"], again["lastSeq"]) == ("joined", group, 1)
    assert again["complete"]
    assert again["messages"] == [{**message, "sender": "guest", "message": "hello"}]
    assert bob.send("history")["messages"] == again["messages"]
    assert bob.send("history", before=1)["messages"] == []
    assert bob.send("history", since=0, limit=1)["messages"] == again["messages"]
    pong = bob.send("ping")
    assert (pong["type"], pong["connectionId"]) == ("pong", bob.id)
    assert (pong["groupId"], pong["lastSeq"]) == (group, 1)
    assert [bob.send("leaveGroup")["groupId"] for _ in range(2)] == [group, None]
    pong = bob.send("ping")
    assert (pong["groupId"], pong["lastSeq"]) == (None, None)
    said = output.read()
    assert (said.logs, said.metrics) == ({}, [])


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", [None, "", "{", "[]", '"text"', "\ud800", '{"id":7}'])
def test_malformed_frames(guest: Client, output: Output, route: str, body: str | None) -> None:
    """They get an error frame, whatever the route, and count as refused."""
    reply = guest.send_text(route, body)
    assert (reply["type"], reply["code"]) == ("error", "BadRequest")
    assert reply["requestId"] == REQUEST_ID
    assert output.read().metrics == [refused(output, "BadRequest")]


def test_each_refusal_is_counted_by_its_code(guest: Client, output: Output) -> None:
    """Error frames name the action, the request and the frame's id; the log says nothing."""
    replies = [
        guest.send("sendMessage", message="hello", id="a"),
        guest.send("joinGroup", groupId="private-team"),
        guest.send("joinGroup", groupId=""),
        guest.send("sendMessage", message="x" * 100_000),
        guest.send("renew", token="a.b.c"),
    ]
    codes = ["NotInGroup", "Forbidden", "BadRequest", "TooLarge", "Forbidden"]
    assert [reply["code"] for reply in replies] == codes
    assert [reply["action"] for reply in replies] == [
        "sendMessage",
        "joinGroup",
        "joinGroup",
        "sendMessage",
        "renew",
    ]
    assert [reply.get("id") for reply in replies] == ["a", None, None, None, None]
    said = output.read()
    assert said.metrics == [refused(output, code) for code in codes]
    assert said.logs == {}


def test_an_unregistered_connection(cloud: Cloud, guests: Functions, output: Output) -> None:
    """It must connect again."""
    stranger = Client(guests, output)
    codes = [stranger.send("joinGroup", groupId="a")["code"], stranger.send("leaveGroup")["code"]]
    assert codes == ["Conflict", "Conflict"]
    assert stranger.send("ping")["groupId"] is None
    assert output.read().metrics == [refused(output, "Conflict")] * 2


def test_history_is_oldest_first(guest: Client) -> None:
    """The latest messages, and those before or after a number."""
    guest.join()
    for text in ("one", "two", "three"):
        guest.send("sendMessage", message=text)

    def texts(**fields: int) -> list[str]:
        return [message["message"] for message in guest.send("history", **fields)["messages"]]

    assert texts() == ["one", "two", "three"]
    assert texts(limit=2) == ["two", "three"]
    assert texts(before=3) == ["one", "two"]
    assert texts(since=1) == ["two", "three"]


def test_a_user_without_tokens(cloud: Cloud, guest: Client, output: Output) -> None:
    """RateLimited says when to try again, also where the function knows it without asking."""
    guest.join()
    guest.spend(cloud)
    for _ in range(2):
        reply = guest.send("sendMessage", message="hello")
        assert reply["code"] == "RateLimited"
        assert 30_000 < reply["retryAfterMs"] < 60_000
        assert output.read().metrics == [refused(output, "RateLimited")]


@pytest.mark.parametrize(
    ("operation", "action", "fields"),
    [
        ("GetItem", "ping", {}),
        ("GetItem", "joinGroup", {"groupId": "a"}),
        ("UpdateItem", "leaveGroup", {}),
        ("UpdateItem", "sendMessage", {"message": "hello"}),
        ("PutItem", "sendMessage", {"message": "hello"}),
        ("Query", "history", {}),
        ("UpdateItem", "renew", {}),
    ],
)
def test_a_table_that_fails(
    cloud: Cloud, user: Client, output: Output, operation: str, action: str, fields: dict[str, str]
) -> None:
    """The client gets InternalError without the reason; the log has the reason and the request's id."""
    user.join()
    cloud.faults[operation] = Fault(400, "AccessDeniedException")
    fields = fields or {"token": token(user.user or "")}
    reply = user.send(action, **fields, id="7")
    assert reply == {
        "type": "error",
        "code": "InternalError",
        "message": "Something went wrong on our side; try again.",
        "action": action,
        "requestId": REQUEST_ID,
        "id": "7",
    }
    said = output.read()
    assert said.metrics == [refused(output, "InternalError")]
    line = said.logs["frame failed"]
    assert (line["level"], line["route"], line["request_id"]) == ("ERROR", action, REQUEST_ID)
    assert "AccessDenied" in line["exception"]


def test_a_throttle_that_passes_is_not_seen(cloud: Cloud, guest: Client, output: Output) -> None:
    """The function repeats the call."""
    cloud.faults["GetItem"] = Fault(400, "ProvisionedThroughputExceededException", times=1)
    assert guest.send("ping")["type"] == "pong"
    assert cloud.calls["GetItem"] == 2
    assert output.read().metrics == []


def test_a_message_that_was_sent_before(user: Client) -> None:
    """The same id with the same text gets the first ack; with another text, or in another group, Conflict."""
    user.join()
    message_id = str(uuid.uuid4())
    acks = [user.send("sendMessage", message="hello", messageId=message_id) for _ in range(2)]
    assert acks[0] == acks[1]
    assert acks[0]["messageId"] == message_id
    assert user.send("sendMessage", message="hallo", messageId=message_id)["code"] == "Conflict"
    user.join()
    assert user.send("sendMessage", message="hello", messageId=message_id)["code"] == "Conflict"


def test_an_offer_that_the_queue_does_not_take(cloud: Cloud, offering: Functions, output: Output) -> None:
    """The message is stored and acknowledged all the same; the stream will offer it."""
    guest = Client(offering, output)
    guest.connect()
    guest.join()
    cloud.faults["SendMessageBatch"] = Fault(400, "AccessDenied")
    ack = guest.send("sendMessage", message="hello")
    assert ack["type"] == "ack"
    said = output.read()
    assert said.metrics == [Metric("express_failed", "Count", [1.0], {"service": output.service})]
    assert said.logs["offer left to the stream"]["message_id"] == ack["messageId"]
    failed = said.logs["AWS call failed"]
    assert (failed["level"], failed["operation"]) == ("WARNING", "SendMessageBatch")
    assert failed["error"].startswith("ServiceError: ")
    assert "AccessDenied" in failed["error"]
    # It stays so for a while.
    assert guest.send("sendMessage", message="hello")["type"] == "ack"
    assert cloud.calls["SendMessageBatch"] == 1
    assert output.read().metrics == []


def test_without_lanes_senders_offer_nothing(cloud: Cloud, streamed: Functions, output: Output) -> None:
    """All messages go through the stream."""
    client = Client(streamed, output)
    client.connect()
    client.join()
    assert client.send("sendMessage", message="hello")["type"] == "ack"
    assert cloud.calls["SendMessageBatch"] == 0


def test_renewing(user: Client, output: Output) -> None:
    """Only a new token of the same user counts."""
    group = user.join()
    renewed = user.send("renew", token=token(user.user or ""))
    assert (renewed["type"], renewed["groupId"]) == ("renewed", group)
    assert user.send("renew", token=token("bob"))["code"] == "Forbidden"
    assert user.send("renew", token="a.b.c")["code"] == "Forbidden"
    assert user.send("renew")["code"] == "BadRequest"
    codes = [metric.dimensions["code"] for metric in output.read().metrics]
    assert codes == ["Forbidden", "Forbidden", "BadRequest"]


def test_a_sign_in_that_has_expired(user: Client) -> None:
    """Nothing is done for it until it is renewed."""
    user.authorizer["authorizedUntil"] = "1"
    user.connect()
    assert user.send("joinGroup", groupId="a")["code"] == "Forbidden"
    assert user.send("renew", token=token(user.user or ""))["type"] == "renewed"
    assert user.send("joinGroup", groupId="a")["type"] == "joined"


@pytest.fixture(scope="module")
def keys_fetched(session_cloud: Cloud) -> Iterator[int]:
    """How often the pool was asked for its keys while `renew` loaded."""
    before = session_cloud.calls["keys"]
    functions = Functions(session_cloud, "renew")
    yield session_cloud.calls["keys"] - before
    functions.close()


def test_renew_fetches_the_keys_while_it_loads(keys_fetched: int) -> None:
    """No frame waits for them."""
    assert keys_fetched == 1


def test_a_connection_without_a_sign_in(cloud: Cloud, members: Functions, output: Output) -> None:
    """One from before users had to sign in may do nothing."""
    client = Client(members, output)
    client.connect()
    assert client.send("joinGroup", groupId="a")["code"] == "Forbidden"


@pytest.mark.parametrize("days", [0, 1])
def test_messages_expire_with_their_retention(cloud: Cloud, guest: Client, user: Client, days: int) -> None:
    """`retentionDays` after they were sent, or never."""
    client = user if days else guest
    client.join()
    ack = client.send("sendMessage", message="hello")
    key = f"id-of-{user.user}:{ack['messageId']}" if days else ack["messageId"]
    table = "groupcast-functions-messages"
    item = cloud.dynamodb.get_item(TableName=table, Key={"messageId": {"S": key}})["Item"]
    assert ("expiresAt" in item) == bool(days)
    if days:
        assert 0 <= time.time() + days * 86_400 - int(item["expiresAt"]["N"]) < 60


def test_private_groups(members: Functions, cloud: Cloud, output: Output) -> None:
    """Members of the pool's group may enter; renewing with a token that lacks the group takes them out."""
    client = Client(members, output, "ann", groups=("private-team",))
    client.connect()
    client.join("private-team")
    renewed = client.send("renew", token=token(client.user or ""))
    assert renewed["groupId"] is None
    assert client.send("sendMessage", message="hello")["code"] == "NotInGroup"
    assert client.send("joinGroup", groupId="private-team")["code"] == "Forbidden"


@pytest.mark.parametrize(
    ("body", "action"),
    [
        (json.dumps({"action": "shout", "id": "7"}), "shout"),
        (json.dumps({"action": "x" * 1_000, "id": "7"}), None),
        (json.dumps({"action": ["ping"], "id": "7"}), None),
        (json.dumps({"id": "7"}), None),
    ],
)
def test_an_unknown_action(guest: Client, output: Output, body: str, action: str | None) -> None:
    """The reply lists the actions of serverless.yml."""
    reply = guest.send_text("default", body)
    assert reply == {
        "type": "error",
        "code": "UnknownAction",
        "message": f"No such action; use one of {', '.join(ROUTES)}.",
        "action": action,
        "requestId": REQUEST_ID,
        "id": "7",
    }


@pytest.mark.parametrize("body", [None, "hello", "[]", '{"id":7}'])
def test_malformed_frames_without_a_route(guest: Client, body: str | None) -> None:
    """The reply says so and lists the actions."""
    reply = guest.send_text("default", body)
    assert (reply["code"], reply["action"]) == ("UnknownAction", None)
    assert reply["message"].endswith(f" Send an object whose action is one of {', '.join(ROUTES)}.")
    assert "id" not in reply
