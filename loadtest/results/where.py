"""Where a message's time went, from the timeline that `groupcast up --timeline` writes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson

from loadtest.plan.schedule import message_number
from loadtest.results.histogram import Histogram
from loadtest.results.result import EXPRESS, STREAM, STREAM_OFFER, Metric, Part, Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_FROM_RECEIPT = ("received", "first_post", "last_post", "delivered")
# The points of each way, in the order a message passes them.
_POINTS = {
    EXPRESS: ("accepted", "offered", *_FROM_RECEIPT),
    STREAM_OFFER: ("accepted", "stored", "read", "offered", *_FROM_RECEIPT),
    STREAM: ("accepted", "stored", "read", *_FROM_RECEIPT),
}
_US = 1000


def read_timeline(path: Path, prefix: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(message number, its instants) of each line about this run; of several, a message's last one holds."""
    for line in path.read_bytes().splitlines():
        try:
            instants = orjson.loads(line)
        except ValueError:
            # The last line may be half written.
            continue
        number = message_number(prefix, instants["messageId"])
        if number is not None:
            yield number, instants


def where_of(
    timeline: Iterable[tuple[int, Mapping[str, Any]]], delivered_ns: Mapping[int, int]
) -> tuple[Way, ...]:
    """The time between neighbouring points, by way, for messages whose last receipt is in `delivered_ns`.

    A point that was passed before the one ahead of it (the acknowledgement returns while the stream is being
    read, the last post goes to a connection that is gone) counts as no time. A message that lacks a point of
    its way is left out, and so is a way that no message took.
    """
    histograms = {way: {span: Histogram() for span in pairwise(points)} for way, points in _POINTS.items()}
    for number, instants in dict(timeline).items():
        way = _way(instants)
        at = _at(way, instants) | {"delivered": delivered_ns.get(number)}
        if any(at[point] is None for point in _POINTS[way]):
            continue
        for (begin, end), histogram in histograms[way].items():
            histogram.record((at[end] - at[begin]) // _US)
    ways = (
        Way(way, tuple(Part(*span, Metric.of(histogram)) for span, histogram in spans.items()))
        for way, spans in histograms.items()
    )
    return tuple(way for way in ways if way.parts[0].times.count)


def _way(instants: Mapping[str, Any]) -> str:
    offered_ns, started_ns = instants.get("offered_ns"), instants.get("started_ns")
    if offered_ns is None:
        return STREAM
    # SQS keeps the first offer. Before the stream's batch had started it was the sender's; after that it is
    # taken for the stream's, since both look alike.
    return STREAM_OFFER if started_ns is not None and started_ns <= offered_ns else EXPRESS


def _at(way: str, instants: Mapping[str, Any]) -> dict[str, Any]:
    at = {point: instants.get(f"{point}_ns") for point in _POINTS[way]}
    if way == STREAM:
        at["received"] = instants.get("started_ns")
    return at
