"""Processes that die or hang along a lane: nothing is lost, and other groups continue."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from groupcast import protocol
from groupcast.fanout import offers
from groupcast.holes import HOLE_FINAL_MS
from groupcast.model import Audience, Message, iso_ms
from groupcast.tables.items import encode
from tests.conftest import Stack, amended_root, running_stack
from tests.crowd import PATIENCE_S, all_have, eventually, logged, logged_since, people, surplus
from tests.functions.words import (
    DIE_AFTER_PUT_TEXT,
    DIE_BEFORE_PUT_TEXT,
    DOOMED,
    POSTS_BEFORE_DEATH,
    WORKER_DEATH_FILE,
)

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

TIMEOUT_S = 3
# The visibility timeouts that a lane's next worker may take to start on a busy machine.
LATE_RATIO = 10
HURRIED = (
    *("--handler", "sendMessage=tests.functions.dying_sender.handler"),
    *("--handler", "fanoutMessage=tests.functions.hurried_worker.handler"),
    *("--handler", "fanoutRetry=tests.functions.hurried_worker.retry_handler"),
    # One message per frame, so that posts can be counted.
    *("--param", "frameBytes=0"),
    *("--param", "postsPerSecond=80", "--param", "postBurst=20", "--param", "membersPageSize=8"),
)


def short_timeouts_root(directory: Path) -> Path:
    """Functions with timeouts of a few seconds, and a queue with a matching visibility timeout."""
    return amended_root(
        directory,
        ("timeout: 30\n", f"timeout: {TIMEOUT_S}\n"),
        ("VisibilityTimeout: 45 ", f"VisibilityTimeout: {TIMEOUT_S} "),
    )


# Several times a sender's wait for its offer, and more than a call's wait for SQS.
OUTAGE_S = 8.0
BURSTS_MAX = 5
BUSY_WITHIN_S = 5.0
LEFT_TO_THE_STREAM = "offer left to the stream"


@pytest.fixture(scope="module")
def short_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose fan-out has short timeouts and a small budget, and whose functions die on command."""
    root = short_timeouts_root(tmp_path_factory.mktemp("short_stack"))
    with running_stack(root / "functions.log", *HURRIED, root=root) as running:
        yield running


@pytest.fixture(scope="module")
def short_stream_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The same without lanes."""
    root = short_timeouts_root(tmp_path_factory.mktemp("short-stack-stream"))
    arguments = (*HURRIED, "--param", "delivery=stream")
    with running_stack(root / "functions.log", *arguments, root=root) as running:
        yield running


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4()}"


async def test_the_stream_offers_a_dead_senders_message(short_stack: Stack, group: str) -> None:
    """The client sends it again: it is acknowledged and pushed to nobody twice."""
    message_id = str(uuid.uuid4())
    async with people(short_stack, 3, group) as members:
        ann = members[0]
        before = len(logged_since(short_stack, "offers", 0))
        dying = asyncio.create_task(ann.ask("sendMessage", message=DIE_AFTER_PUT_TEXT, messageId=message_id))
        await all_have(members, [1])
        # A dead sender acknowledges nothing.
        assert [frame["message"] for frame in ann.others] == ["Internal server error"]
        dying.cancel()
        (offered,) = logged_since(short_stack, "offers", before)
        assert (offered["express"], offered["offers"], offered["untaken"]) == (1, 1, 0)
        ack = await ann.say(DIE_AFTER_PUT_TEXT, messageId=message_id)
        assert (ack["seq"], ack["messageId"]) == (1, message_id)
        assert (await ann.say("I am fine"))["seq"] == 2
        await all_have(members, [2])
        assert surplus(members) == 0


async def test_a_dead_senders_number_becomes_void(short_stack: Stack, group: str) -> None:
    """As soon as no message can have it any more; later numbers continue."""
    async with people(short_stack, 2, group) as members:
        ann, bob = members
        dying = asyncio.create_task(ann.ask("sendMessage", message=DIE_BEFORE_PUT_TEXT))
        await eventually(lambda: bool(ann.others))
        dying.cancel()
        assert (await bob.say("next"))["seq"] == 2
        said_s = time.perf_counter()
        await all_have(members, [2])
        early = await bob.ask("history", since=0)
        assert [one["seq"] for one in early["messages"]] == [2]
        await asyncio.sleep(said_s + HOLE_FINAL_MS / 1000 - time.perf_counter())
        for late in (await bob.ask("history", since=0), await ann.ask("joinGroup", groupId=group, since=0)):
            assert late["messages"][0] == {"seq": 1, "void": True}
            assert [one["seq"] for one in late["messages"]] == [1, 2]
            assert late["complete"] is True


async def test_a_lane_continues_after_a_worker_died_in_its_pass(short_stack: Stack, group: str) -> None:
    """After the visibility timeout and in order; other groups continue meanwhile."""
    words = short_stack.log.parent / WORKER_DEATH_FILE
    async with people(short_stack, 20, DOOMED) as members, people(short_stack, 5, group) as others:
        await members[0].say("first")
        await eventually(words.exists)
        died_s = time.perf_counter()
        await members[0].say("second")
        for number in range(10):
            await others[number % 5].say(f"meanwhile {number}")
        await all_have(others, range(1, 11))
        await all_have(members, [1, 2])
        # While the lane was blocked.
        meanwhile_s = max(person.got[0].at_s for person in others)
        assert meanwhile_s < min(person.got[-1].at_s for person in members)
        late_s = max(person.got[-1].at_s for person in members) - died_s
        assert late_s < LATE_RATIO * TIMEOUT_S
        # Only members who had it before the worker died get it twice; clients drop it by its number.
        assert POSTS_BEFORE_DEATH <= surplus(members) < len(members)
        for person in members:
            assert list(dict.fromkeys(person.seqs)) == [1, 2]
        assert surplus(others) == 0


@pytest.mark.parametrize("stack_name", ["short_stack", "short_stream_stack"])
async def test_a_pass_longer_than_its_function_is_continued(
    request: pytest.FixtureRequest, stack_name: str, group: str
) -> None:
    """Not restarted: eight messages at once need no extra posts."""
    stack: Stack = request.getfixturevalue(stack_name)
    members_count, messages = 60, 8
    async with people(stack, members_count, group) as members:
        before = len(logged_since(stack, "fan-out", 0))
        await asyncio.gather(*(person.say(f"hello {n}") for n, person in enumerate(members[:messages])))
        await all_have(members, range(1, messages + 1))
        assert surplus(members) == 0
        await eventually(
            lambda: (
                sum(one["delivered"] for one in logged_since(stack, "fan-out", before))
                == members_count * messages
            )
        )
        passes = logged_since(stack, "fan-out", before)
        assert sum(one["posts"] for one in passes) <= 1.05 * members_count * messages
        # Something was left, and it continued from a slot on.
        assert sum(one["ranges"] for one in passes) >= 1
        assert not any(one["again"] or one["rejected"] or one["errors"] for one in passes)


async def test_a_small_lane_does_not_wait_for_a_large_one_of_its_batch(
    short_stack: Stack, group: str
) -> None:
    """Its offers are deleted early, so the next batch gets the lane while this one is still running."""
    large, small, first = f"{group}-large", f"{group}-small", f"{group}-first"
    async with people(short_stack, 40, large) as crowd, people(short_stack, 3, small) as few:
        queue = Delivery(short_stack)
        # One after the other, so that two environments exist from now on.
        queue.send(large, 1)
        await asyncio.sleep(0.1)
        queue.send(small, 1)
        await all_have([*crowd, *few], [1])
        # Both lanes are free again.
        await eventually(queue.is_empty)
        before = len(logged(short_stack, "fan-out"))
        with stopped(short_stack.process.pid):
            # The waiting poll gets the first, the next poll both others.
            queue.offer(first, 1)
            queue.send(large, 2, 3, 4, 5)
            queue.send(small, 2)
        await all_have(few, [2])
        queue.send(small, 3)
        await all_have(few, [3])
        small_s = max(person.got[-1].at_s for person in few)
        await all_have(crowd, range(1, 6))
        large_s = max(person.got[-1].at_s for person in crowd)
        assert small_s < large_s
        await eventually(
            lambda: any(one["lanes"] == 2 for one in logged_since(short_stack, "fan-out", before))
        )
        assert surplus([*crowd, *few]) == 0


async def test_messages_survive_an_outage_of_sqs(stack: Stack, group: str) -> None:
    """Senders are still acknowledged, nothing is lost, and the stream makes the missing offers."""
    async with people(stack, 10, group) as members:
        await members[0].say("before")
        await all_have(members, [1])
        failed_before, count = len(logged(stack, LEFT_TO_THE_STREAM)), 1
        with stopped(moto_pid(stack)):
            async with asyncio.TaskGroup() as saying:
                until_s = time.perf_counter() + OUTAGE_S
                while time.perf_counter() < until_s:
                    saying.create_task(members[count % 10].say(f"number {count}"))
                    count += 1
                    await asyncio.sleep(0.2)
            # All are acknowledged, and nothing was delivered.
            assert {len(person.got) for person in members} == {1}
        # Only an occasional sender tries: most did not wait for the queue.
        assert 0 < len(logged(stack, LEFT_TO_THE_STREAM)) - failed_before < count / 2
        await all_have(members, range(1, count + 1))
        await members[0].say("after")
        await all_have(members, [count + 1])
        # SQS recognises offers that it had accepted without an answer by their deduplication ids.
        assert surplus(members) == 0


async def test_a_burst_makes_a_group_busy_and_a_pause_makes_it_quiet(short_stack: Stack, group: str) -> None:
    """In a quiet group senders offer; in a busy one the stream offers many messages at a time."""
    dynamodb: Any = boto3.client("dynamodb", **short_stack.aws(short_stack.dynamodb_url))
    async with people(short_stack, 10, group) as members:
        before = len(logged(short_stack, "offers"))
        await members[0].say("in the quiet")
        assert expresses(dynamodb, group) == {1: True}
        # Faster than passes end, which take an eighth of a second per message. A slow machine may need
        # several attempts.
        bursts = 0
        while busy_until_ms(dynamodb, group) == 0 and bursts < BURSTS_MAX:
            await asyncio.gather(*(person.say("burst") for person in members * 4))
            bursts += 1
            with contextlib.suppress(AssertionError):
                await eventually(lambda: busy_until_ms(dynamodb, group) > 0, BUSY_WITHIN_S)
        assert busy_until_ms(dynamodb, group) > 0
        await asyncio.gather(*(person.say("busy") for person in members))
        busy_from = 1 + 40 * bursts + 1
        said = busy_from - 1 + 10
        await all_have(members, range(1, said + 1))
        sent = expresses(dynamodb, group)
        assert not any(sent[seq] for seq in range(busy_from, said + 1))
        lines = logged_since(short_stack, "offers", before)
        assert sum(one["messages"] for one in lines) == said
        assert sum(one["express"] for one in lines) == sum(sent.values())
        # The others were packed.
        assert sum(one["offers"] for one in lines) < said
        await eventually(lambda: busy_until_ms(dynamodb, group) < time.time() * 1000)
        assert (await members[0].say("in the quiet again"))["seq"] == said + 1
        assert expresses(dynamodb, group)[said + 1]
        await all_have(members, [said + 1])
        assert surplus(members) == 0


def bad_bodies() -> dict[str, str]:
    """Malformed bodies by their defect."""

    def offer(**changes: Any) -> str:
        return json.dumps({"groupId": "g", "slots": [0, 65_535], "messages": [value(1)], **changes})

    def value(seq: Any, **changes: Any) -> dict[str, Any]:
        stored = protocol.message_value(message("g", 1))
        return {**stored, "seq": seq, **changes}

    return {
        "not JSON": "hello",
        "not UTF-8 once unescaped": '{"groupId": "\\ud800"}',
        "nested too deep": "[" * 100_000,
        "not an object": "[1, 2, 3]",
        "empty": "{}",
        "another queue's": json.dumps({"groupId": "g", "messageIds": ["1"], "slots": [0, 1], "tries": 0}),
        "a group of a wrong type": offer(groupId=7),
        "a group without a name": offer(groupId=""),
        "a group with a long name": offer(groupId="g" * 129),
        "slots below": offer(slots=[-1, 65_535]),
        "slots above": offer(slots=[0, 65_536]),
        "slots backwards": offer(slots=[2, 1]),
        "three slots": offer(slots=[0, 1, 2]),
        "slots that are true and false": offer(slots=[False, True]),
        "slots with a fraction": offer(slots=[0.0, 1.0]),
        "no messages": offer(messages=[]),
        "too many messages": offer(messages=[value(seq) for seq in range(1, 102)]),
        "messages of a wrong type": offer(messages="hello"),
        "a message of a wrong type": offer(messages=["hello"]),
        "a negative seq": offer(messages=[value(-1)]),
        "a seq that is true": offer(messages=[value(True)]),
        "a seq beyond all numbers": offer(messages=[value(10**30)]),
        "a text that is none": offer(messages=[value(1, message=None)]),
        "no date": offer(messages=[value(1, createdAt="yesterday")]),
        "a date before all dates": offer(messages=[value(1, createdAt="0001-01-01")]),
        "a message longer than a frame": offer(messages=[value(1, message="x" * 140_000)]),
        "300 KB": offer(messages=[value(seq, message="x" * 10_000) for seq in range(1, 31)]),
        "a size that is true": offer(members=True),
        "a negative size": offer(members=-1),
    }


async def test_malformed_offers_go_to_the_failures(stack: Stack, group: str) -> None:
    """With the reason, and later offers of the lane are delivered."""
    queue, bodies = Delivery(stack), bad_bodies()
    lane = f"lane-{uuid.uuid4()}"
    async with people(stack, 2, group) as members:
        for number, body in enumerate(bodies.values(), 1):
            queue.put(body, lane)
            queue.offer(group, number, lane=lane)
        # These two are valid.
        queue.offer(f"{group}-without-members", 1, lane=lane)
        queue.put(twice(group, len(bodies) + 1), lane)
        await all_have(members, range(1, len(bodies) + 2))
        assert surplus(members) == 0
        for person in members:
            assert person.seqs == sorted(person.seqs)
    failures = queue.failures(len(bodies))
    assert all(failures.values())
    # One that exceeds a message's limit is cut.
    whole = bodies.pop("300 KB")
    (cut,) = (body for body, reason in failures.items() if "304,212 bytes" in reason)
    assert whole.startswith(cut)
    assert failures.keys() - {cut} == {*bodies.values()}


def expresses(dynamodb: Any, group_id: str) -> dict[int, bool]:
    """For each message of a group, whether its sender offered it."""
    answer = dynamodb.query(
        TableName="groupcast-dev-messages",
        IndexName="GroupSeqIndex",
        KeyConditionExpression="groupId = :group",
        ExpressionAttributeValues={":group": {"S": group_id}},
    )
    return {int(item["seq"]["N"]): "express" in item for item in answer["Items"]}


def busy_until_ms(dynamodb: Any, group_id: str) -> int:
    """Milliseconds since 1970; 0 for a group that was never busy."""
    key = {"groupId": {"S": group_id}}
    item = dynamodb.get_item(TableName="groupcast-dev-groups", Key=key, ConsistentRead=True)["Item"]
    return int(item.get("busyUntil", {"N": "0"})["N"])


class Delivery:
    """DeliveryQueue for a client with its key."""

    def __init__(self, stack: Stack) -> None:
        self._sqs: Any = boto3.client("sqs", **stack.aws(stack.sqs_url))
        self._dynamodb: Any = boto3.client("dynamodb", **stack.aws(stack.dynamodb_url))
        self._url = self._url_of("delivery.fifo")

    def put(self, body: str, lane: str, deduplication_id: str = "") -> None:
        self._sqs.send_message(
            QueueUrl=self._url,
            MessageBody=body,
            MessageGroupId=lane,
            MessageDeduplicationId=deduplication_id or str(uuid.uuid4()),
        )

    def send(self, group_id: str, *seqs: int) -> None:
        """Store and offer messages like sendMessage, without gateway and functions."""
        for seq in seqs:
            one = message(group_id, seq)
            item = encode({**protocol.message_value(one), "groupId": group_id, "express": 1})
            self._dynamodb.put_item(TableName="groupcast-dev-messages", Item=item)
            (made,) = offers.outgoing([one], Audience())
            self.put(made.body, str(made.group_id), str(made.deduplication_id))

    def offer(self, group_id: str, *seqs: int, lane: str = "") -> None:
        """Offer made-up messages of a group like a sender."""
        (made,) = offers.outgoing([message(group_id, seq) for seq in seqs], Audience())
        self.put(made.body, lane or str(made.group_id))

    def is_empty(self) -> bool:
        """Whether no message is waiting or in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)
        return all(answer["Attributes"][name] == "0" for name in names)

    def failures(self, count: int) -> dict[str, str]:
        """Take at least `count` messages from FanoutFailures; return the reasons by body."""
        url = self._url_of("fanout-failures")
        found: dict[str, str] = {}
        until_s = time.perf_counter() + PATIENCE_S
        while len(found) < count and time.perf_counter() < until_s:
            answer = self._sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["reason"]
            )
            for one in answer.get("Messages", ()):
                found[one["Body"]] = one["MessageAttributes"]["reason"]["StringValue"]
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        return found

    def _url_of(self, name: str) -> str:
        return str(self._sqs.get_queue_url(QueueName=f"groupcast-dev-{name}")["QueueUrl"])


def twice(group_id: str, seq: int) -> str:
    """An offer that contains a message twice."""
    one = protocol.message_value(message(group_id, seq))
    return json.dumps({"groupId": group_id, "slots": [0, 65_535], "messages": [one, one]})


def message(group_id: str, seq: int) -> Message:
    text = f"text {seq}"
    return Message(str(uuid.uuid4()), group_id, seq, "ann", text, iso_ms(time.time_ns() // 1_000_000))


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process temporarily: its sockets stay open, but it does not answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def moto_pid(stack: Stack) -> int:
    """The pid of moto, a child of `groupcast up`."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_text()
            except OSError:
                continue
            if parent == stack.process.pid and "localcloud.backends.motoserver" in command:
                return int(entry.name)
    raise AssertionError("no moto")
