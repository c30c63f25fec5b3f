"""Records in the shape of Lambda's events, and the document about discarded ones."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import orjson

from groupcast.fanout.stream import read_stream
from localcloud.eventsources.streams.batching import Batch
from localcloud.eventsources.streams.discards import (
    AGE_EXCEEDED,
    RETRIES_EXHAUSTED,
    Discard,
    invocation_record,
)
from localcloud.eventsources.streams.records import to_stream_record
from tests.unit.localcloud.eventsources.streams.support import STREAM_ARN, a_record, from_api


def test_record_has_lambdas_shape() -> None:
    """Times are numbers, nested binary is base64, and fields are neither added nor lost."""
    api: dict[str, Any] = from_api(7)
    api["dynamodb"]["ApproximateCreationDateTime"] = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    api["dynamodb"]["NewImage"] = {
        "b": {"B": b"\x00\xff"},
        "bs": {"BS": [b"a", b"b"]},
        "m": {"M": {"l": {"L": [{"B": b"deep"}, {"NULL": True}, {"N": "1.5"}]}}},
        "ss": {"SS": ["x"]},
    }
    record = to_stream_record(api, stream_arn=STREAM_ARN, region="eu-central-1")
    assert json.loads(json.dumps(record.event)) == {
        "eventID": "event-7",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1767323045.0,
            "Keys": {"id": {"S": "k"}},
            "NewImage": {
                "b": {"B": "AP8="},
                "bs": {"BS": ["YQ==", "Yg=="]},
                "m": {"M": {"l": {"L": [{"B": "ZGVlcA=="}, {"NULL": True}, {"N": "1.5"}]}}},
                "ss": {"SS": ["x"]},
            },
            "SequenceNumber": "000000000000000000007",
            "SizeBytes": 20,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": STREAM_ARN,
    }
    assert record.size_bytes == len(orjson.dumps(record.event))
    assert record.created_s == 1767323045.0


def test_a_message_has_the_recorded_shape() -> None:
    """A stored message's record matches tests/events/stream.json, and the fan-out reads it."""
    event = json.loads((Path(__file__).parents[4] / "events" / "stream.json").read_text())
    (recorded,) = event["Records"]
    api = {name: value for name, value in recorded.items() if name != "eventSourceARN"}
    created = dt.datetime.fromtimestamp(recorded["dynamodb"]["ApproximateCreationDateTime"], dt.UTC)
    api["dynamodb"] = {**recorded["dynamodb"], "ApproximateCreationDateTime": created}
    made = to_stream_record(api, stream_arn=recorded["eventSourceARN"], region=recorded["awsRegion"])
    assert made.event == recorded
    groups, malformed = read_stream(event["Records"])
    assert malformed == []
    assert {group_id: len(found) for group_id, found in groups.items()} == {"group1": 1}


def test_user_identity_has_lambdas_spelling() -> None:
    """The API's Type and PrincipalId are lower case in the event."""
    api = from_api(1, name="REMOVE")
    api["userIdentity"] = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    event = to_stream_record(api, stream_arn=STREAM_ARN, region="eu-central-1").event
    assert event["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def test_an_items_records_share_a_hash() -> None:
    """For any change, and any order of its key's parts."""

    def key_hash(number: int, keys: dict[str, Any]) -> int:
        api = from_api(number)
        api["dynamodb"]["Keys"] = keys
        return to_stream_record(api, stream_arn=STREAM_ARN, region="eu-central-1").key_hash

    one = key_hash(1, {"a": {"S": "x"}, "b": {"N": "1"}})
    assert one == key_hash(2, {"b": {"N": "1"}, "a": {"S": "x"}})
    assert one != key_hash(3, {"a": {"S": "y"}, "b": {"N": "1"}})


def test_the_invocation_record_has_the_records_position() -> None:
    """Field by field as in the Lambda guide's document."""
    records = (a_record(3, created_s=1767323045.0), a_record(4, created_s=1767323046.0))
    document = invocation_record(
        Discard(Batch(records, retries=2, invocations=3), RETRIES_EXHAUSTED, function_error=True),
        function="f",
        region="eu-central-1",
        stream_arn=STREAM_ARN,
        shard_id="shardId-1",
        now_s=1767323047.5,
    )
    assert len(document["requestContext"].pop("requestId")) == 36
    assert document == {
        "requestContext": {
            "functionArn": "arn:aws:lambda:eu-central-1:000000000000:function:f",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2026-01-02T03:04:07.500Z",
        "DDBStreamBatchInfo": {
            "shardId": "shardId-1",
            "startSequenceNumber": "000000000000000000003",
            "endSequenceNumber": "000000000000000000004",
            "approximateArrivalOfFirstRecord": "2026-01-02T03:04:05Z",
            "approximateArrivalOfLastRecord": "2026-01-02T03:04:06Z",
            "batchSize": 2,
            "streamArn": STREAM_ARN,
        },
    }


def test_a_reported_failure_is_no_function_error() -> None:
    """If the function only named records, functionError is absent."""
    document = invocation_record(
        Discard(Batch((a_record(1),)), AGE_EXCEEDED, function_error=False),
        function="f",
        region="eu-central-1",
        stream_arn=STREAM_ARN,
        shard_id="s",
        now_s=0.0,
    )
    assert document["requestContext"]["condition"] == "RecordAgeExceeded"
    assert "functionError" not in document["responseContext"]
