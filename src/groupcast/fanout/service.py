"""fanoutMessage as a whole: its two triggers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from groupcast.fanout.lanes import LaneDelivery
    from groupcast.fanout.result import Offered, Result
    from groupcast.fanout.stream import StreamDelivery, StreamOffers


class Fanout:
    """Serves batches of the Messages table's stream and of DeliveryQueue."""

    def __init__(self, stream: StreamOffers | StreamDelivery, lanes: LaneDelivery) -> None:
        self._stream = stream
        self._lanes = lanes

    async def deliver(self, records: Sequence[Mapping[str, Any]], remaining_s: float) -> Result | Offered:
        """Deliver or offer a batch, which has at least one record, all from one source."""
        if records[0]["eventSource"] == "aws:sqs":
            return await self._lanes.deliver(records, remaining_s)
        return await self._stream.deliver(records, remaining_s)
