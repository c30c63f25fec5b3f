"""The parts of a delivery's time, from the timeline that `groupcast up --timeline` writes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson

from loadtest.clock import NS_PER_US
from loadtest.plan.schedule import message_number
from loadtest.results.histogram import Histogram
from loadtest.results.result import EXPRESS, STREAM, STREAM_OFFER, DeliveryPath, Metric, Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_FROM_RECEIPT = ("received", "first_post", "last_post", "delivered")
# The points of each path, in the order in which a message passes them.
_POINTS = {
    EXPRESS: ("accepted", "offered", *_FROM_RECEIPT),
    STREAM_OFFER: ("accepted", "stored", "read", "offered", *_FROM_RECEIPT),
    STREAM: ("accepted", "stored", "read", *_FROM_RECEIPT),
}


def read_timeline(path: Path, prefix: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (message number, instants) for each line of this run; a message's last line counts."""
    for line in path.read_bytes().splitlines():
        try:
            instants = orjson.loads(line)
        except ValueError:
            # The last line may be incomplete.
            continue
        number = message_number(prefix, instants["messageId"])
        if number is not None:
            yield number, instants


def paths_of(
    timeline: Iterable[tuple[int, Mapping[str, Any]]], delivered_ns: Mapping[int, int]
) -> tuple[DeliveryPath, ...]:
    """The time between neighbouring points, by path, for messages whose last receipt is in `delivered_ns`.

    If a message passes a point before the previous one, the time between them is 0: the ack may return while
    the stream is being read, or the last post may go to a gone connection. Messages that lack a point, and
    paths without messages, are left out.
    """
    histograms = {path: {span: Histogram() for span in pairwise(points)} for path, points in _POINTS.items()}
    for number, instants in dict(timeline).items():
        path = _path_of(instants)
        at = _at(path, instants) | {"delivered": delivered_ns.get(number)}
        if any(at[point] is None for point in _POINTS[path]):
            continue
        for (begin, end), histogram in histograms[path].items():
            histogram.record((at[end] - at[begin]) // NS_PER_US)
    paths = (
        DeliveryPath(path, tuple(Part(*span, Metric.of(histogram)) for span, histogram in spans.items()))
        for path, spans in histograms.items()
    )
    return tuple(path for path in paths if path.parts[0].times.count)


def _path_of(instants: Mapping[str, Any]) -> str:
    offered_ns, started_ns = instants.get("offered_ns"), instants.get("started_ns")
    if offered_ns is None:
        return STREAM
    # SQS keeps the first offer. Both look alike, so one from before the stream's batch started counts as the
    # sender's, and a later one as the stream's.
    return STREAM_OFFER if started_ns is not None and started_ns <= offered_ns else EXPRESS


def _at(path: str, instants: Mapping[str, Any]) -> dict[str, Any]:
    at = {point: instants.get(f"{point}_ns") for point in _POINTS[path]}
    if path == STREAM:
        at["received"] = instants.get("started_ns")
    return at
