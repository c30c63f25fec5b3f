"""`groupcast failures` against the queues of serverless.yml in moto's real server."""

from __future__ import annotations

import asyncio
import json
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import example, given
from hypothesis import strategies as st

from groupcast.fanout.leftover import from_body, to_body
from groupcast.fanout.queue import BATCH_BYTES_MAX, Outgoing, failed
from groupcast_cli import failures_queue
from groupcast_cli.failures_kinds import (
    KINDS,
    LEFTOVER,
    MALFORMED,
    OTHER,
    STREAM_BATCH,
    Kind,
    classify,
    summary,
)
from groupcast_cli.main import main
from groupcast_cli.stage import Place
from groupcast_cli.stage import client as aws_client
from localcloud.eventsources.queues import Queues
from localcloud.service.definition import load_service
from tests.conftest import REGION, ROOT
from tests.stack.groupcast_cli.failures_support import (
    OFFER_REASON,
    REASON,
    Deployed,
    Faulty,
    failed_offer,
    given_up,
    leftover,
    malformed_record,
    moved,
    offer,
    slot_leftover,
    stream_batch,
)
from tests.stack.groupcast_cli.support import OTHER_REGION, Account


@pytest.fixture
def stage(account: Account) -> Deployed:
    name = f"s{uuid.uuid4().hex[:8]}"
    service = load_service(ROOT / "serverless.yml", stage=name, region=REGION, params={})

    async def create() -> None:
        async with Queues(service.queues.values(), {"region_name": REGION}):
            pass

    asyncio.run(create())
    urls = {
        logical_id: account.sqs.get_queue_url(QueueName=queue.name)["QueueUrl"]
        for logical_id, queue in service.queues.items()
    }
    return Deployed(account.sqs, name, urls["RetryQueue"], urls["FanoutFailures"])


@pytest.fixture(autouse=True)
def no_long_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Don't wait for messages: moto answers immediately."""
    monkeypatch.setattr(failures_queue, "POLL_WAIT_S", 0)


@pytest.fixture
def replace_calls(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces calls of the command's client; each replacement gets the real client first."""

    def replace(**calls: Callable[..., Any]) -> None:
        @contextmanager
        def client(service: str, place: Place) -> Iterator[Any]:
            with aws_client(service, place) as sqs:

                def bound(call: Callable[..., Any]) -> Callable[..., Any]:
                    return lambda **request: call(sqs, **request)

                yield Faulty(sqs, {name: bound(call) for name, call in calls.items()})

        monkeypatch.setattr(failures_queue, "client", client)

    return replace


@pytest.mark.parametrize(
    ("message", "kind", "reason"),
    [
        (given_up(leftover()), LEFTOVER, REASON),
        (given_up(slot_leftover()), LEFTOVER, REASON),
        (moved(leftover(tries=3)), LEFTOVER, "moved here by SQS after 3 tries"),
        (moved(slot_leftover()), LEFTOVER, "moved here by SQS"),
        (failed_offer(offer()), LEFTOVER, OFFER_REASON),
        (stream_batch(), STREAM_BATCH, "RetryAttemptsExhausted: 2 records"),
        (failed(stream_batch(), "not a leftover", "back from SQS's redrive"), STREAM_BATCH, "2 records"),
        (malformed_record(), MALFORMED, "not a message: 'seq'"),
        (malformed_record(padding=BATCH_BYTES_MAX), MALFORMED, "not a message: 'seq'"),
        (failed_offer("odd"), MALFORMED, "unexpected character"),
        (failed_offer(offer(slots=(5, 4))), MALFORMED, "slots 5 to 4"),
        (failed_offer("x" * BATCH_BYTES_MAX, receives=1), MALFORMED, "unexpected character"),
        (failed_offer(offer(texts=("x" * BATCH_BYTES_MAX,))), MALFORMED, "an offer has at most"),
        (Outgoing("odd"), OTHER, "not JSON: "),
        (Outgoing("[]"), OTHER, "not of a shape"),
    ],
)
def test_each_message_has_its_kind(message: Outgoing, kind: Kind, reason: str) -> None:
    """Messages from groupcast, Lambda and the redrive policy, and unknown ones."""
    failure = classify(message.body, message.reason)
    assert failure.kind == kind
    assert reason in failure.reason
    assert (failure.redrive is not None) == kind.redrivable


@given(
    st.lists(st.integers(0, 65_535), min_size=2, max_size=2).map(sorted),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=100),
)
def test_a_failed_offer_is_a_leftover_of_its_range(slots: list[int], texts: list[str]) -> None:
    """The same messages for the same slots of the group, so that SQS's own redrive delivers them."""
    message = failed_offer(offer(7, slots=(slots[0], slots[1]), texts=tuple(texts)))
    assert message.body.isascii()
    assert json.loads(message.body) == {
        "groupId": "gruppe-7-ä",
        "messageIds": [f"user-1:message-7-{seq}" for seq in range(1, len(texts) + 1)],
        "slots": slots,
        "tries": 0,
    }


@given(st.text() | st.dictionaries(st.text(), st.text() | st.integers()).map(json.dumps), st.text())
@example("odd", "\x1b[2J\n" + "x" * 1000)
@example("[" * 100_000, "")
def test_any_body_has_a_kind_and_a_printable_reason(body: str, reason: str) -> None:
    failure = classify(body, reason)
    assert failure.kind in KINDS
    assert failure.reason.isprintable()
    assert len(failure.reason) <= 100


def test_a_kinds_oldest_message_gives_its_reason() -> None:
    """In whatever order SQS returns them; the kinds keep their order."""
    later, first = (classify("odd", reason) for reason in ("later", "first"))
    owed = classify(to_body(leftover()), REASON)
    rows = summary([(2000, later), (1000, first), (3000, owed)])
    assert [(row.kind, row.count, row.oldest_ms) for row in rows] == [
        (LEFTOVER, 1, 3000),
        (MALFORMED, 2, 1000),
    ]
    assert rows[1].reason == "first"


def test_listing_changes_nothing(stage: Deployed, groupcast: Any) -> None:
    """Each kind has its line and its advice; all messages stay receivable, and nothing was sent."""
    messages = [
        given_up(leftover(1)),
        moved(leftover(2)),
        stream_batch(),
        malformed_record(),
        Outgoing("odd"),
    ]
    stage.fail(*messages)
    shown = groupcast("failures", "--stage", stage.name)
    assert (shown.code, shown.err) == (0, "")
    for kind in KINDS:
        row = next(line for line in shown.out.splitlines() if line.startswith(f"{kind.title}  "))
        assert row.split(kind.title)[1].split()[0] == ("2" if kind is LEFTOVER else "1")
        assert f"{kind.title}: {kind.advice}" in shown.out
    assert (stage.failed, stage.redriven) == (sorted(one.body for one in messages), [])


def test_json_has_the_messages(stage: Deployed, groupcast: Any) -> None:
    """With bodies and sent times; the oldest of each kind gives its reason and time."""
    began_s = int(time.time())
    stage.fail(Outgoing("odd"), Outgoing(json.dumps({"why": "second"})))
    said = groupcast("failures", "--stage", stage.name, "--json")
    assert (said.code, said.err, said.out.count("\n")) == (0, "", 1)
    read = json.loads(said.out)
    assert (read["queue"], read["waiting"]) == (f"groupcast-{stage.name}-fanout-failures", 2)
    assert (read["read"], read["putBack"]) == (2, 0)
    (kind,) = read["kinds"]
    assert (kind["kind"], kind["count"], kind["redrivable"]) == ("other", 2, False)
    first, second = sorted(read["messages"], key=lambda one: one["body"] != "odd")
    assert second["body"] == {"why": "second"}
    assert kind["oldest"] == min(first["sentAt"], second["sentAt"])
    assert kind["oldest"] >= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began_s))


def test_leftovers_go_back_as_new(stage: Deployed, groupcast: Any) -> None:
    """Given-up ones and those that SQS moved itself; the others stay, and a second run finds nothing."""
    stage.sqs.send_message(QueueUrl=stage.retry_url, MessageBody=to_body(leftover(2, tries=3)))
    while stage.sqs.receive_message(QueueUrl=stage.retry_url, VisibilityTimeout=0).get("Messages"):
        """Fail to finish it, until the redrive policy moves it."""
    others = [stream_batch(), malformed_record(), Outgoing("odd")]
    stage.fail(given_up(leftover(1)), *others)
    done = groupcast("failures", "--stage", stage.name, "--redrive")
    assert (done.code, done.err) == (0, "")
    assert f"Put back into groupcast-{stage.name}-retry: 2\n" in done.out
    assert "redriving does not help them: 3; --discard deletes them\n" in done.out
    expected = sorted(to_body(leftover(number, tries=0)) for number in (1, 2))
    assert (stage.redriven, stage.failed) == (expected, sorted(one.body for one in others))
    again = json.loads(groupcast("failures", "--stage", stage.name, "--redrive", "--json").out)
    assert (again["read"], again["putBack"]) == (3, 0)
    assert (stage.redriven, stage.failed) == (expected, sorted(one.body for one in others))


def test_offers_go_to_the_retry_queue(stage: Deployed, groupcast: Any) -> None:
    """As leftovers of their range under their group, so that a large group does not block others."""
    stage.fail(failed_offer(offer(1, slots=(0, 32_767))), given_up(leftover(1)), given_up(slot_leftover(2)))
    assert groupcast("failures", "--stage", stage.name, "--redrive").code == 0
    assert stage.failed == []
    assert sum('"slots":[0,32767]' in body for body in stage.redriven) == 2
    got = stage.sqs.receive_message(
        QueueUrl=stage.retry_url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["MessageGroupId"]
    )["Messages"]
    groups = {
        (json.loads(message["Body"])["groupId"], message["Attributes"]["MessageGroupId"]) for message in got
    }
    assert (len(got), len(groups), len({hashed for _, hashed in groups})) == (3, 2, 2)


def test_messages_beyond_redrive_can_be_discarded(stage: Deployed, groupcast: Any) -> None:
    """Otherwise the alarm would ring for two weeks; leftovers are never discarded."""
    owed = given_up(leftover(1))
    stage.fail(owed, stream_batch(), malformed_record(), Outgoing("odd"))
    done = groupcast("failures", "--stage", stage.name, "--discard")
    assert (done.code, done.err) == (0, "")
    assert "Discarded: 3\nStaying, for --redrive: 1\n" in done.out
    assert (stage.redriven, stage.failed) == ([], [owed.body])


def test_many_go_back(stage: Deployed, groupcast: Any) -> None:
    """More than one receive returns; stderr shows the progress."""
    stage.fail(*(given_up(leftover(number)) for number in range(105)))
    done = groupcast("failures", "--stage", stage.name, "--redrive")
    assert (done.code, done.err) == (0, "groupcast: 100 of about 105 read\n")
    assert len({from_body(body) for body in stage.redriven}) == 105
    assert stage.failed == []


def test_leftovers_too_large_for_one_batch_go_back(
    stage: Deployed, groupcast: Any, replace_calls: Callable[..., None]
) -> None:
    """Ten of them exceed any SQS endpoint's limit for a request."""
    sizes = []

    def send(sqs: Any, **request: Any) -> Any:
        sizes.append(sum(len(entry["MessageBody"]) for entry in request["Entries"]))
        return sqs.send_message_batch(**request)

    replace_calls(send_message_batch=send)
    stage.fail(*(given_up(leftover(number, connections=1500)) for number in range(10)))
    assert groupcast("failures", "--stage", stage.name, "--redrive").code == 0
    assert max(sizes) <= BATCH_BYTES_MAX < sum(sizes)
    assert (len(stage.redriven), stage.failed) == (10, [])


def test_the_limit_bounds_a_run(stage: Deployed, groupcast: Any) -> None:
    """The rest stays and is reported."""
    stage.fail(*(given_up(leftover(number)) for number in range(14)))
    done = groupcast("failures", "--stage", stage.name, "--redrive", "--limit", "12")
    assert "Not read: about 2; " in done.out
    assert (len(stage.redriven), len(stage.failed)) == (12, 2)


def test_an_empty_queue_is_reported(stage: Deployed, groupcast: Any) -> None:
    """So are messages in another reader's hands."""
    assert "Nothing to be read" in groupcast("failures", "--stage", stage.name, "--redrive").out
    stage.fail(Outgoing("odd"))
    stage.sqs.receive_message(QueueUrl=stage.failures_url)
    assert "Being read by somebody else: 1; " in groupcast("failures", "--stage", stage.name).out


def test_empty_answers_are_retried(
    stage: Deployed, groupcast: Any, replace_calls: Callable[..., None]
) -> None:
    """SQS may return none, or some twice, although there are more; each is still taken once."""
    answers: list[Any] = []

    def receive(sqs: Any, **request: Any) -> Any:
        answers.append(None)
        # Nothing, all messages, nothing, the same again, all messages …
        if len(answers) in (1, 3):
            return {}
        if len(answers) == 4:
            return answers[1]
        answers[-1] = sqs.receive_message(**request)
        return answers[-1]

    replace_calls(receive_message=receive)
    stage.fail(*(given_up(leftover(number)) for number in range(15)))
    assert groupcast("failures", "--stage", stage.name, "--redrive").code == 0
    assert len(stage.redriven) == 15
    assert stage.failed == []


def test_a_queue_that_returns_nothing_is_left(
    stage: Deployed, groupcast: Any, replace_calls: Callable[..., None]
) -> None:
    """After a few empty answers, or after one once it has returned as many as it counts."""
    asked = []

    def receive(sqs: Any, **request: Any) -> Any:
        asked.append(request)
        return sqs.receive_message(**request) if counted else {}

    replace_calls(receive_message=receive)
    counted = False
    stage.fail(Outgoing("odd"))
    shown = groupcast("failures", "--stage", stage.name)
    assert "Nothing to be read" in shown.out
    assert "Not read: about 1; " in shown.out
    assert len(asked) == failures_queue.EMPTY_RECEIVES_MAX
    asked.clear()
    counted = True
    assert groupcast("failures", "--stage", stage.name).code == 0
    assert len(asked) == 2


def test_a_refused_message_stays(stage: Deployed, groupcast: Any, replace_calls: Callable[..., None]) -> None:
    """Only that one; the output has the reason, and the exit code shows it."""

    def send(sqs: Any, **request: Any) -> Any:
        first, *others = request["Entries"]
        answer = sqs.send_message_batch(**{**request, "Entries": others})
        failure = {"Id": first["Id"], "Code": "InternalError", "Message": "later", "SenderFault": False}
        return {**answer, "Failed": [failure]}

    replace_calls(send_message_batch=send)
    owed = [given_up(leftover(number)) for number in range(3)]
    stage.fail(*owed)
    done = groupcast("failures", "--stage", stage.name, "--redrive")
    assert done.code == 1
    assert f"Put back into groupcast-{stage.name}-retry: 2\n" in done.out
    assert "Failed: 1, the first not taken" in done.out
    assert "InternalError: later" in done.out
    (stays,) = stage.failed
    assert stays in {one.body for one in owed}
    assert len(stage.redriven) == 2


def test_an_undeletable_message_is_sent_once_a_run(
    stage: Deployed, groupcast: Any, replace_calls: Callable[..., None]
) -> None:
    """It is then in both queues, as the output says."""
    failure = {"Code": "InternalError", "SenderFault": False}
    replace_calls(
        delete_message_batch=lambda _, **request: {
            "Failed": [{"Id": entry["Id"], **failure} for entry in request["Entries"]]
        }
    )
    stage.fail(given_up(leftover()))
    done = groupcast("failures", "--stage", stage.name, "--redrive")
    assert done.code == 1
    assert "put back, but not deleted: InternalError" in done.out
    assert (len(stage.redriven), len(stage.failed)) == (1, 1)


def test_a_refusal_midway_loses_nothing(
    stage: Deployed, groupcast: Any, replace_calls: Callable[..., None]
) -> None:
    """It reports the number already sent; the rest stays receivable."""
    sent = []

    def send(sqs: Any, **request: Any) -> Any:
        sent.append(request)
        if len(sent) == 2:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "SendMessageBatch")
        return sqs.send_message_batch(**request)

    replace_calls(send_message_batch=send)
    stage.fail(*(given_up(leftover(number)) for number in range(15)))
    complaint = groupcast("failures", "--stage", stage.name, "--redrive").complaint
    assert "these credentials may not do that: no" in complaint
    assert "10 were put back before" in complaint
    assert (len(stage.redriven), len(stage.failed)) == (10, 5)


def test_the_only_copy_of_discarded_messages_is_printed(
    stage: Deployed, groupcast: Any, replace_calls: Callable[..., None]
) -> None:
    """If AWS refuses midway, the JSON has the messages deleted before."""
    received = []

    def receive(sqs: Any, **request: Any) -> Any:
        received.append(request)
        if len(received) == 2:
            raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "no"}}, "ReceiveMessage")
        return sqs.receive_message(**request)

    replace_calls(receive_message=receive)
    stage.fail(*(Outgoing(f"odd {number}") for number in range(15)))
    said = groupcast("failures", "--stage", stage.name, "--discard", "--json")
    assert said.code == 1
    assert "10 were discarded before" in said.err
    printed = {one["body"] for one in json.loads(said.out)["messages"] if one["discarded"]}
    assert printed | {*stage.failed} == {f"odd {number}" for number in range(15)}
    assert len(printed) == 10


@pytest.mark.parametrize("action", ["--redrive", "--discard"])
def test_ctrl_c_waits_for_the_end_of_a_batch(
    stage: Deployed, groupcast: Any, replace_calls: Callable[..., None], action: str
) -> None:
    """Which messages are gone is known and said; the JSON has them all, and the others can be had at once."""

    def interrupted(sqs: Any, **request: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return sqs.delete_message_batch(**request)

    replace_calls(delete_message_batch=interrupted)
    stage.fail(
        *(given_up(leftover(one)) if action == "--redrive" else Outgoing(f"odd {one}") for one in range(15))
    )
    before = signal.getsignal(signal.SIGINT)
    said = groupcast("failures", "--stage", stage.name, action, "--json")
    done = "put back" if action == "--redrive" else "discarded"
    assert (said.code, said.err) == (130, f"groupcast: interrupted; 10 were {done} before\n")
    key = "putBack" if action == "--redrive" else "discarded"
    assert (json.loads(said.out)[key], len(stage.failed)) == (10, 5)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_missing_stage_has_a_clear_error(account: Account, stage: Deployed, groupcast: Any) -> None:
    """With the command to deploy it, and a hint at other regions."""
    complaint = groupcast("failures", "--stage", "nowhere").complaint
    assert "no queue groupcast-nowhere-fanout-failures in us-east-1" in complaint
    assert "`make deploy STAGE=nowhere`" in complaint
    complaint = groupcast("failures", "--stage", stage.name, "--region", OTHER_REGION).complaint
    assert f"in {OTHER_REGION}" in complaint


def test_missing_credentials_have_a_clear_error(
    account: Account, groupcast: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the variables to set."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    complaint = groupcast("failures", "--stage", "any").complaint
    assert "no AWS credentials" in complaint
    assert "AWS_PROFILE" in complaint


@pytest.mark.parametrize("limit", ["0", "10001", "many"])
def test_a_limit_is_bounded(capsys: pytest.CaptureFixture[str], limit: str) -> None:
    """All messages are kept in memory."""
    with pytest.raises(SystemExit) as caught:
        main(["failures", "--stage", "any", "--limit", limit])
    assert caught.value.code == 2
    assert "--limit" in capsys.readouterr().err
