"""The events that a fan-out gets, and the context it runs in."""

from __future__ import annotations

import time
from typing import Any

from groupcast.model import Audience, Message, iso_ms

TIMEOUT_MS = 120_000


class Context:
    """What the handler asks Lambda for."""

    def get_remaining_time_in_millis(self) -> int:
        return TIMEOUT_MS


def offers(group_id: str, count: int, message_bytes: int) -> list[dict[str, Any]]:
    """Records of DeliveryQueue that offer `count` messages, as fanoutMessage gets them."""
    # Imported here: a peer's cold start must not pay for it.
    from groupcast.fanout.offers import outgoing  # noqa: PLC0415

    made = outgoing(_messages(group_id, count, message_bytes), Audience())
    return [
        {
            "messageId": str(number),
            "receiptHandle": str(number),
            "body": one.body,
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(time.time_ns() // 1_000_000)},
            "eventSource": "aws:sqs",
        }
        for number, one in enumerate(made)
    ]


def stream_records(group_id: str, count: int, message_bytes: int) -> list[dict[str, Any]]:
    """Stream records of the same messages, for a peer that knows no lanes."""
    return [
        {
            "eventName": "INSERT",
            "eventSource": "aws:dynamodb",
            "dynamodb": {"SequenceNumber": str(100 + message.seq), "NewImage": _image(message)},
        }
        for message in _messages(group_id, count, message_bytes)
    ]


def _messages(group_id: str, count: int, message_bytes: int) -> list[Message]:
    created_at = iso_ms(time.time_ns() // 1_000_000)
    return [
        Message(f"0192f0c1-2345-7abc-8def-{seq:012d}", group_id, seq, "ann", "x" * message_bytes, created_at)
        for seq in range(1, count + 1)
    ]


def _image(message: Message) -> dict[str, Any]:
    return {
        "messageId": {"S": message.message_id},
        "groupId": {"S": message.group_id},
        "seq": {"N": str(message.seq)},
        "sender": {"S": message.sender},
        "message": {"S": message.text},
        "createdAt": {"S": message.created_at},
    }
