"""The event that fanoutMessage gets, and the context it runs in."""

from __future__ import annotations

import time
from typing import Any

from groupcast.model import iso_ms

TIMEOUT_MS = 120_000


class Context:
    """What the handler asks Lambda for."""

    def get_remaining_time_in_millis(self) -> int:
        return TIMEOUT_MS


def records(group_id: str, count: int, message_bytes: int) -> list[dict[str, Any]]:
    """Stream records of `count` messages."""
    now_ms = time.time_ns() // 1_000_000
    return [
        {
            "eventName": "INSERT",
            "dynamodb": {
                "SequenceNumber": str(100 + seq),
                "NewImage": {
                    "messageId": {"S": f"0192f0c1-2345-7abc-8def-{seq:012d}"},
                    "groupId": {"S": group_id},
                    "seq": {"N": str(seq)},
                    "sender": {"S": "ann"},
                    "message": {"S": "x" * message_bytes},
                    "createdAt": {"S": iso_ms(now_ms)},
                },
            },
        }
        for seq in range(1, count + 1)
    ]
