"""The failure destination's document about discarded records."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localcloud.eventsources.streams.batching import Batch

RETRIES_EXHAUSTED = "RetryAttemptsExhausted"
AGE_EXCEEDED = "RecordAgeExceeded"


@dataclass(frozen=True, slots=True)
class Discard:
    """Discarded records, the reason, and whether the last invocation with them failed as a whole."""

    batch: Batch
    condition: str
    function_error: bool


def invocation_record(
    discard: Discard, *, function: str, region: str, stream_arn: str, shard_id: str, now_s: float
) -> dict[str, Any]:
    """Return the document (AWS: "Retain discarded records for a DynamoDB event source", example record).

    It refers to records by their position in the stream, which keeps them for a day.
    """
    records = discard.batch.records
    account = stream_arn.split(":")[4]
    response = {"statusCode": 200, "executedVersion": "$LATEST"}
    if discard.function_error:
        response["functionError"] = "Unhandled"
    return {
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "functionArn": f"arn:aws:lambda:{region}:{account}:function:{function}",
            "condition": discard.condition,
            "approximateInvokeCount": discard.batch.invocations,
        },
        "responseContext": response,
        "version": "1.0",
        "timestamp": _iso(now_s, "milliseconds"),
        "DDBStreamBatchInfo": {
            "shardId": shard_id,
            "startSequenceNumber": records[0].sequence_number,
            "endSequenceNumber": records[-1].sequence_number,
            "approximateArrivalOfFirstRecord": _iso(records[0].created_s, "seconds"),
            "approximateArrivalOfLastRecord": _iso(records[-1].created_s, "seconds"),
            "batchSize": len(records),
            "streamArn": stream_arn,
        },
    }


def _iso(seconds: float, precision: str) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec=precision).replace("+00:00", "Z")
