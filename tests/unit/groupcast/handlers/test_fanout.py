"""fanoutMessage and fanoutRetry: from events of the stream and the queues to posts, and to metrics."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.groupcast.cloud import Cloud, Fault
from tests.unit.groupcast.functions import Functions, Output
from tests.unit.groupcast.handlers.clients import Client

# The counts of a fan-out in which nothing went wrong.
QUIET = dict.fromkeys(
    ["gone", "gone_false", "refused", "handed_off", "ranges", "throttled", "full", "retried", "slow_closed"],
    0,
) | {"expired": 0, "rejected": 0}


class Group:
    """A group with a few members, and the functions that serve it."""

    def __init__(self, functions: Functions, cloud: Cloud, output: Output, members: int) -> None:
        self.functions = functions
        self.output = output
        self.members = [Client(functions, output) for _ in range(members)]
        self.members[0].connect()
        self.id = self.members[0].join()
        for member in self.members[1:]:
            member.connect()
            member.join(self.id)
        self._cloud = cloud
        self._text = 0

    def say(self) -> dict[str, Any]:
        """Send a message; return it as pushes have it."""
        self._text += 1
        text = f"text {self._text}"
        ack = self.members[0].send("sendMessage", message=text)
        given = {name: ack[name] for name in ("messageId", "seq", "createdAt")}
        return {**given, "sender": "guest", "message": text}

    def push(self, *messages: dict[str, Any]) -> dict[str, Any]:
        return {"type": "messages", "groupId": self.id, "messages": list(messages)}

    def record(self, message: dict[str, Any], number: int = 100, *, express: bool = False) -> dict[str, Any]:
        """A message as the stream of its table has it, offered by its sender (`express`) or not."""
        answer = self._cloud.dynamodb.get_item(
            TableName="groupcast-functions-messages", Key={"messageId": {"S": message["messageId"]}}
        )
        image = {name: value for name, value in answer["Item"].items() if name != "express"}
        if express:
            image["express"] = {"N": "1"}
        change = {"SequenceNumber": str(number), "NewImage": image}
        return {"eventSource": "aws:dynamodb", "eventName": "INSERT", "dynamodb": change}

    def offer(self, message: dict[str, Any], queues: Queues) -> dict[str, Any]:
        """The message's offer as DeliveryQueue hands it to Lambda."""
        offers = queues.take("delivery.fifo", self.id)
        if not offers:
            # The machine was too slow for the sender's own.
            self.deliver(self.record(message))
            offers = queues.take("delivery.fifo", self.id)
        (offer,) = offers
        return offer

    def deliver(self, *records: dict[str, Any], function: str = "fanoutMessage", **more: int) -> list[str]:
        """Invoke a function of the fan-out; the items that Lambda would give it again."""
        self.output.read()
        answer = self.functions.invoke(function, {"Records": records}, self.output.service, **more)
        return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


class Queues:
    """The queues, as Lambda's pollers read them."""

    def __init__(self, cloud: Cloud) -> None:
        self._sqs = cloud.sqs
        self._dynamodb = cloud.dynamodb

    def take(self, queue: str, about: str = "") -> list[dict[str, Any]]:
        """All messages, deleted; those that mention `about` as records of an event.

        Delayed leftovers of other tests may be among the others.
        """
        url = self._sqs.get_queue_url(QueueName=f"groupcast-functions-{queue}")["QueueUrl"]
        records = []
        while True:
            answer = self._sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
            )
            for one in answer.get("Messages", ()):
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
                records.append(
                    {
                        "eventSource": "aws:sqs",
                        "messageId": one["MessageId"],
                        "receiptHandle": one["ReceiptHandle"],
                        "body": one["Body"],
                        "attributes": one["Attributes"],
                        "messageAttributes": one.get("MessageAttributes", {}),
                    }
                )
            if not answer.get("Messages"):
                return [record for record in records if about in record["body"]]

    def budget_free_at_us(self) -> int:
        """The shared budget's time, in microseconds since 1970, after the posts that were booked."""
        item = self._dynamodb.get_item(TableName="groupcast-functions-quotas", Key={"name": {"S": "posts"}})[
            "Item"
        ]
        return int(item["freeAtUs"]["N"])

    def failure(self) -> tuple[str, str, str]:
        """The reason, the item and the body of the one message in FanoutFailures."""
        (record,) = self.take("fanout-failures")
        attributes = record["messageAttributes"]
        return attributes["reason"]["StringValue"], attributes["item"]["StringValue"], record["body"]


@pytest.fixture
def queues(cloud: Cloud) -> Queues:
    queues = Queues(cloud)
    queues.take("fanout-failures")
    return queues


@pytest.fixture
def make_group(cloud: Cloud, output: Output) -> Callable[..., Group]:
    return lambda functions, members=3: Group(functions, cloud, output, members)


@pytest.fixture
def group(guests: Functions, make_group: Callable[..., Group], queues: Queues) -> Group:
    """One whose messages go through lanes."""
    return make_group(guests)


def test_an_offer_reaches_every_member(group: Group, cloud: Cloud, queues: Queues, output: Output) -> None:
    """Each gets it once, its sender too; the metrics say so."""
    message = group.say()
    offer = group.offer(message, queues)
    offer["attributes"]["SentTimestamp"] = str(int(time.time() * 1000) - 7_000)
    assert group.deliver(offer) == []
    assert cloud.posts == {member.id: [group.push(message)] for member in group.members}
    said = output.read()
    values = said.values
    assert {metric.name for metric in said.metrics if metric.unit == "Milliseconds"} == {
        "budget_wait_ms",
        "offer_age_ms",
        "delivery_ms",
    }
    assert values.pop("budget_wait_ms") == [0.0]
    (age_ms,) = values.pop("offer_age_ms")
    assert 7_000 <= age_ms < 12_000
    deliveries_ms = values.pop("delivery_ms")
    assert len(deliveries_ms) == 3
    assert all(0 < one_ms < 60_000 for one_ms in deliveries_ms)
    counts = QUIET | {"lanes": 1, "members": 3, "pages": 1, "posts": 3, "booked": 0, "delivered": 3}
    assert values == {name: [count] for name, count in counts.items()}
    assert said.logs["fan-out"]["offers"] == 1


def test_connections_that_are_gone(group: Group, cloud: Cloud, queues: Queues, output: Output) -> None:
    """They are removed, unless they have just connected: then they are posted to once more."""
    gone, new = group.members[1:]
    cloud.outcomes |= {gone.id: 410, new.id: 410}
    gone.amend(cloud, "connectedAt", 1)
    cloud.dynamodb.delete_item(
        TableName="groupcast-functions-quotas", Key={"name": {"S": f"connection:{gone.id}"}}
    )
    message = group.say()
    assert group.deliver(group.offer(message, queues)) == []
    values = output.read().values
    assert (values["gone"], values["handed_off"], values["delivered"]) == ([1], [1], [1])
    assert gone.send("joinGroup", groupId="a")["code"] == "Conflict"
    assert new.send("ping")["groupId"] == group.id
    # The 410 was false.
    del cloud.outcomes[new.id]
    left = {"groupId": group.id, "messageIds": [message["messageId"]], "connectionIds": [new.id], "tries": 0}
    record = {"messageId": "7", "body": json.dumps(left | {"toldGone": True})}
    assert group.deliver(record, function="fanoutRetry") == []
    values = output.read().values
    assert (values["gone"], values["gone_false"], values["delivered"]) == ([0], [1], [1])
    assert cloud.posts[new.id] == [group.push(message)]


def test_posts_that_fail(group: Group, cloud: Cloud, queues: Queues, output: Output) -> None:
    """Throttles and errors are tried again, then handed on; a 403 is refused for good."""
    for member, status in zip(group.members, (429, 500, 403), strict=True):
        cloud.outcomes[member.id] = status
    message = group.say()
    assert group.deliver(group.offer(message, queues)) == []
    said = output.read()
    values = said.values
    assert (values["members"], values["delivered"], values["handed_off"]) == ([3], [0], [2])
    assert values["refused"] == [1]
    assert values["throttled"][0] >= 1
    assert values["retried"][0] >= 1
    assert "delivery_ms" not in values
    (refusals,) = said.logs["fan-out"]["refusals"]
    assert sum(refusals.values()) == 1
    # fanoutRetry finishes it.
    cloud.outcomes.clear()
    assert group.deliver(*queues.take("retry", group.id), function="fanoutRetry") == []
    values = output.read().values
    assert (values["delivered"], values["lanes"], values["handed_off"]) == ([2], [0], [0])
    assert "offer_age_ms" not in values
    assert cloud.posts == {member.id: [group.push(message)] for member in group.members[:2]}


def test_members_that_cannot_be_read(group: Group, cloud: Cloud, queues: Queues, output: Output) -> None:
    """Their slots go to RetryQueue, and the log has AWS's error."""
    offer = group.offer(group.say(), queues)
    cloud.faults["Query"] = Fault(400, "AccessDeniedException")
    assert group.deliver(offer) == []
    said = output.read()
    assert (said.values["ranges"], said.values["delivered"]) == ([1], [0])
    assert "AccessDeniedException" in said.logs["AWS call failed"]["error"]
    (error,) = said.logs["fan-out"]["errors"]
    assert "AccessDeniedException" in error


def test_leftovers_that_no_queue_takes(group: Group, cloud: Cloud, queues: Queues, output: Output) -> None:
    """Lambda delivers the offer again, soon."""
    offer = group.offer(group.say(), queues)
    cloud.faults["Query"] = cloud.faults["SendMessageBatch"] = Fault(400, "AccessDenied")
    assert group.deliver(offer) == [offer["messageId"]]
    assert cloud.calls["ChangeMessageVisibilityBatch"] == 1
    assert output.read().logs["fan-out"]["again"] == [offer["messageId"]]


def test_an_invocation_without_time(group: Group, cloud: Cloud, queues: Queues, output: Output) -> None:
    """It posts nothing and leaves all members to RetryQueue."""
    message = group.say()
    assert group.deliver(group.offer(message, queues), remaining_ms=9_000) == []
    assert output.read().values["ranges"] == [1]
    assert cloud.posts == {}
    assert group.deliver(*queues.take("retry", group.id), function="fanoutRetry") == []
    assert cloud.posts == {member.id: [group.push(message)] for member in group.members}


def test_malformed_offers(group: Group, cloud: Cloud, queues: Queues, output: Output) -> None:
    """They go to FanoutFailures with the reason, and hold up no others."""
    message = group.say()
    offer = group.offer(message, queues)
    assert group.deliver({**offer, "messageId": "7", "body": "{}"}, offer) == []
    assert cloud.posts[group.members[0].id] == [group.push(message)]
    said = output.read()
    assert (said.values["rejected"], said.values["delivered"]) == ([1], [3])
    reason, item, body = queues.failure()
    assert (item, body) == ("7", "{}")
    assert said.logs["fan-out"]["rejected"] == [{"item": "7", "reason": reason}]


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"groupId":"a","messageIds":[1],"tries":0}'])
def test_malformed_leftovers(group: Group, queues: Queues, output: Output, body: str) -> None:
    """They go to FanoutFailures, too."""
    record = {"messageId": "7", "body": body}
    assert group.deliver(record, function="fanoutRetry") == []
    assert output.read().values["rejected"] == [1]
    assert queues.failure()[1:] == ("7", body)


def test_leftovers_whose_messages_cannot_be_read(
    group: Group, cloud: Cloud, queues: Queues, output: Output
) -> None:
    """They wait for another try, and after the last one they are a failure."""
    body = {"groupId": group.id, "messageIds": ["1"], "connectionIds": ["a="], "tries": 0}
    cloud.faults["BatchGetItem"] = Fault(400, "AccessDeniedException")
    record = {"messageId": "7", "body": json.dumps(body)}
    assert group.deliver(record, function="fanoutRetry") == []
    assert output.read().values["rejected"] == [0]
    record["body"] = json.dumps(body | {"tries": 7})
    assert group.deliver(record, function="fanoutRetry") == []
    assert output.read().values["rejected"] == [1]
    reason, item, _ = queues.failure()
    assert (reason, item) == ("not delivered in 8 tries", "7")


def test_the_stream_offers_to_lanes(group: Group, cloud: Cloud, queues: Queues, output: Output) -> None:
    """Messages that their senders offered before count as express."""
    first, second = group.say(), group.say()
    assert group.deliver(group.record(first, express=True), group.record(second, 101)) == []
    said = output.read()
    assert said.values == {"offered": [2], "express": [1], "offers_failed": [0], "rejected": [0]}
    assert said.logs["offers"]["offers"] == 2
    assert cloud.posts == {}
    assert queues.take("delivery.fifo", second["messageId"])


def test_offers_that_the_queue_does_not_take(
    group: Group, cloud: Cloud, queues: Queues, output: Output
) -> None:
    """Lambda delivers the stream again from the first of them on."""
    records = [group.record(group.say(), number, express=True) for number in (99, 100)]
    cloud.faults["SendMessageBatch"] = Fault(400, "AccessDenied")
    assert group.deliver(*records) == ["99"]
    said = output.read()
    assert said.values == {"offered": [2], "express": [2], "offers_failed": [2], "rejected": [0]}
    assert said.logs["offers"]["again"] == ["99"]


@pytest.mark.parametrize("seq", [{"S": "one"}, {"N": "0"}])
@pytest.mark.parametrize("lanes", [True, False])
def test_malformed_records(
    guests: Functions,
    streamed: Functions,
    make_group: Callable[..., Group],
    queues: Queues,
    output: Output,
    lanes: bool,
    seq: dict[str, str],
) -> None:
    """They go to FanoutFailures with their number in the stream; removals are passed over."""
    group = make_group(guests if lanes else streamed)
    record = group.record(group.say(), 7)
    removal = {**record, "eventName": "REMOVE"}
    record["dynamodb"]["NewImage"]["seq"] = seq
    assert group.deliver(removal, record) == []
    values = output.read().values
    assert values["rejected"] == [1]
    assert {values[name][0] for name in ("offered", "delivered") if name in values} == {0}
    reason, item, body = queues.failure()
    assert reason.startswith("ValueError: not a message")
    assert (item, json.loads(body)) == ("7", record)


def test_without_lanes_the_stream_is_posted(
    streamed: Functions, make_group: Callable[..., Group], cloud: Cloud, queues: Queues, output: Output
) -> None:
    """Messages of one group travel together, in order; no budget is booked."""
    group = make_group(streamed)
    messages = [group.say(), group.say()]
    records = [group.record(message, 100 - n) for n, message in enumerate(messages)]
    assert group.deliver(*records) == []
    assert cloud.posts == {member.id: [group.push(*messages)] for member in group.members}
    values = output.read().values
    counts = QUIET | {"lanes": 1, "members": 3, "pages": 1, "posts": 3, "booked": 0, "delivered": 6}
    assert {name: values[name] for name in counts} == {name: [count] for name, count in counts.items()}
    assert "offer_age_ms" not in values


def test_posts_to_large_groups_are_booked(
    group: Group,
    streamed: Functions,
    make_group: Callable[..., Group],
    cloud: Cloud,
    queues: Queues,
    output: Output,
) -> None:
    """In the one item of all workers, before they are made; not where `postsPerSecond` is 0."""
    offer = group.offer(group.say(), queues)
    offer["body"] = json.dumps(json.loads(offer["body"]) | {"members": 1_000})
    before_us = time.time_ns() // 1_000
    assert group.deliver(offer) == []
    assert output.read().values["booked"][0] >= 3
    assert queues.budget_free_at_us() > before_us - 1_000_000
    unlimited = make_group(streamed)
    record = unlimited.record(unlimited.say())
    record["dynamodb"]["NewImage"]["members"] = {"N": "1000"}
    free_at_us = queues.budget_free_at_us()
    assert unlimited.deliver(record) == []
    values = output.read().values
    assert (values["delivered"], values["booked"]) == ([3], [0])
    assert queues.budget_free_at_us() == free_at_us


def test_without_lanes_leftovers_are_retried(
    streamed: Functions, make_group: Callable[..., Group], cloud: Cloud, queues: Queues, output: Output
) -> None:
    """Where no queue takes them, Lambda delivers the stream again."""
    group = make_group(streamed)
    message = group.say()
    cloud.outcomes[group.members[1].id] = 500
    assert group.deliver(group.record(message)) == []
    assert output.read().values["handed_off"] == [1]
    cloud.faults["SendMessageBatch"] = Fault(400, "AccessDenied")
    assert group.deliver(group.record(message)) == ["100"]
    cloud.outcomes.clear()
    assert group.deliver(*queues.take("retry", group.id), function="fanoutRetry") == []
    assert cloud.posts[group.members[1].id] == [group.push(message)]


def test_connections_whose_sign_in_is_over(
    members: Functions, cloud: Cloud, queues: Queues, output: Output
) -> None:
    """They get nothing, and are closed and removed."""
    speaker, expired = Client(members, output, "ann"), Client(members, output, "bob")
    group_id = ""
    for client in (speaker, expired):
        client.connect()
        group_id = client.join(group_id or None)
    expired.amend(cloud, "authorizedUntil", 1)
    speaker.send("sendMessage", message="hello")
    output.read()
    members.invoke("fanoutMessage", {"Records": queues.take("delivery.fifo", group_id)}, output.service)
    assert list(cloud.posts) == [speaker.id]
    assert cloud.deleted == [expired.id]
    said = output.read()
    assert (said.values["expired"], said.values["members"]) == ([1], [1])
    assert said.logs["fan-out"]["closed"] == 1
    assert expired.send("joinGroup", groupId="a")["code"] == "Conflict"


@pytest.mark.parametrize("name", ["fanoutMessage", "fanoutRetry"])
def test_a_malformed_event(guests: Functions, output: Output, name: str) -> None:
    """It raises: Lambda counts the error, and RetriesFail or FanoutFails tells."""
    with pytest.raises(KeyError):
        guests.invoke(name, {"Records": [{}]}, output.service)
    assert output.read().metrics == []
