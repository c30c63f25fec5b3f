"""Converts records of the DynamoDB Streams API to Lambda's event records."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """`event` is the function's event record; the other fields are for batching.

    `size_bytes` is the event's size as JSON, `created_s` the approximate time of the write (seconds since
    1970), and `key_hash` a hash of the item's key.
    """

    event: Mapping[str, Any]
    sequence_number: str
    created_s: float
    size_bytes: int
    key_hash: int


def to_stream_record(record: Mapping[str, Any], *, stream_arn: str, region: str) -> StreamRecord:
    """Convert a record that botocore parsed from GetRecords.

    AWS: "Using AWS Lambda with Amazon DynamoDB", example event. DynamoDB Local calls its region `ddblocal`.
    """
    change = record["dynamodb"]
    created: dt.datetime = change["ApproximateCreationDateTime"]
    encoded = {
        "ApproximateCreationDateTime": created.timestamp(),
        **{name: _image(change[name]) for name in ("Keys", "NewImage", "OldImage") if name in change},
        **{name: change[name] for name in ("SequenceNumber", "SizeBytes", "StreamViewType")},
    }
    event = {
        "eventID": record["eventID"],
        "eventName": record["eventName"],
        "eventVersion": record["eventVersion"],
        "eventSource": record["eventSource"],
        "awsRegion": region,
        "dynamodb": encoded,
        "eventSourceARN": stream_arn,
    }
    if "userIdentity" in record:
        # Present if TTL deleted the item. The API capitalises the field names, the event does not.
        identity = record["userIdentity"]
        event["userIdentity"] = {"type": identity["Type"], "principalId": identity["PrincipalId"]}
    return StreamRecord(
        event=event,
        sequence_number=change["SequenceNumber"],
        created_s=created.timestamp(),
        size_bytes=len(orjson.dumps(event)),
        key_hash=zlib.crc32(orjson.dumps(encoded["Keys"], option=orjson.OPT_SORT_KEYS)),
    )


def _image(image: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _attribute(value) for name, value in image.items()}


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    ((kind, content),) = value.items()
    if kind == "B":
        content = _base64(content)
    elif kind == "BS":
        content = [_base64(item) for item in content]
    elif kind == "L":
        content = [_attribute(item) for item in content]
    elif kind == "M":
        content = _image(content)
    return {kind: content}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
