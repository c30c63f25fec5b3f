"""$connect and $disconnect: their answers, and the connects that are refused and counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.groupcast.cloud import Cloud, Fault
from tests.unit.groupcast.functions import Functions, Metric, Output
from tests.unit.groupcast.handlers.clients import Client

REFUSED = {"statusCode": 429}


def refused(output: Output) -> Metric:
    return Metric("connects_refused", "Count", [1.0], {"service": output.service})


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        (None, {"statusCode": 200}),
        ({}, {"statusCode": 200}),
        ({"Sec-WebSocket-Protocol": ["other, bearer.a"]}, {"statusCode": 200}),
        (
            {"sec-websocket-protocol": ["bearer.a, groupcast.v1"]},
            {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "groupcast.v1"}},
        ),
    ],
)
def test_our_subprotocol_is_chosen_where_it_is_offered(
    cloud: Cloud, guests: Functions, output: Output, headers: object, answer: object
) -> None:
    """A browser ends a connection whose subprotocol it did not offer."""
    assert Client(guests, output).connect(multiValueHeaders=headers) == answer
    said = output.read()
    assert (said.logs, said.metrics) == ({}, [])


def test_a_connection_is_stored_as_the_authorizer_says(
    cloud: Cloud, members: Functions, output: Output
) -> None:
    """With its user, and the end of their sign-in."""
    client = Client(members, output, "ann", groups=("private-team",))
    client.connect()
    (item,) = client.items(cloud)
    stored = [item["userId"]["S"], item["sender"]["S"], item["authorizedUntil"]["N"]]
    assert stored == [client.authorizer[name] for name in ("principalId", "sender", "authorizedUntil")]
    assert item["userGroups"]["S"] == '["private-team"]'


def test_a_user_with_all_their_connections(
    user: Client, another: Callable[[Client], Client], output: Output
) -> None:
    """One more is refused, counted and logged with the reason; after a disconnect there is room."""
    second = another(user)
    third = Client(user.functions, output, user=user.user)
    assert third.connect() == REFUSED
    said = output.read()
    assert said.metrics == [refused(output)]
    line = said.logs["connect refused"]
    assert (line["level"], line["reason"]) == (
        "INFO",
        "You have 2 connections; close one and connect again.",
    )
    # The refused one has left nothing behind.
    assert third.send("joinGroup", groupId="a")["code"] == "Conflict"
    output.read()
    assert second.disconnect() == {"statusCode": 200}
    assert third.connect() == {"statusCode": 200}
    assert output.read().metrics == []


def test_a_user_who_connects_too_often(cloud: Cloud, user: Client, output: Output) -> None:
    """The bucket of their messages pays for connects, too; a refused one leaves nothing behind."""
    user.spend(cloud)
    second = Client(user.functions, output, user=user.user)
    for _ in range(2):
        assert second.connect() == REFUSED
        said = output.read()
        assert said.metrics == [refused(output)]
        assert said.logs["connect refused"]["reason"].startswith("At most 10 messages a second, 20 at once")
    assert cloud.calls["DeleteItem"] == 1


def test_a_connect_that_fails(cloud: Cloud, members: Functions, output: Output) -> None:
    """Lambda counts the error, and the connection is removed again."""
    client = Client(members, output, user="ann")
    cloud.faults["UpdateItem"] = Fault(400, "AccessDeniedException", times=1)
    with pytest.raises(Exception, match="AccessDenied"):
        client.connect()
    assert cloud.calls["DeleteItem"] == 1
    assert client.send("joinGroup", groupId="a")["code"] == "Conflict"
    output.read()
    cloud.faults["UpdateItem"] = cloud.faults["DeleteItem"] = Fault(400, "AccessDeniedException", times=2)
    with pytest.raises(Exception, match="UpdateItem"):
        client.connect()
    assert output.read().metrics == []


def test_a_disconnect_without_an_authorizer(user: Client, another: Callable[[Client], Client]) -> None:
    """AWS does not promise one; the connection's item tells the user, who may then connect again."""
    second = another(user)
    event = second.event("$disconnect")
    del event["requestContext"]["authorizer"]
    assert user.functions.invoke("disconnect", event) == {"statusCode": 200}
    assert another(user).send("ping")["type"] == "pong"
    assert second.send("joinGroup", groupId="a")["code"] == "Conflict"


def test_a_disconnect_that_comes_twice(user: Client, guest: Client) -> None:
    """The second has no effect."""
    for client in (user, user, guest, guest):
        assert client.disconnect() == {"statusCode": 200}


def test_a_disconnect_that_fails(cloud: Cloud, guest: Client, output: Output) -> None:
    """Lambda counts the error."""
    cloud.faults["DeleteItem"] = Fault(400, "AccessDeniedException")
    with pytest.raises(Exception, match="AccessDenied"):
        guest.disconnect()
    assert output.read().metrics == []


@pytest.mark.parametrize("name", ["connect", "disconnect"])
def test_a_malformed_event(guests: Functions, name: str) -> None:
    """It raises: API Gateway answers 500 and Lambda counts the error."""
    with pytest.raises(KeyError):
        guests.invoke(name, {"requestContext": {}})
