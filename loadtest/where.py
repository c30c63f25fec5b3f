"""Where a message's time went, from the timeline that `groupcast up --timeline` writes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson

from loadtest.histogram import Histogram
from loadtest.result import Metric, Where
from loadtest.schedule import message_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_POINTS = ("accepted_ns", "stored_ns", "read_ns", "started_ns", "posted_ns", "received_ns")
_SPANS = tuple(Where.__dataclass_fields__)
_US = 1000


def read_timeline(path: Path, prefix: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(message number, its instants) of each line about this run."""
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
    timeline: Iterable[tuple[int, Mapping[str, Any]]], received_ns: Mapping[int, int]
) -> Where | None:
    """The time between neighbouring points, for messages whose last receipt is in `received_ns`.

    A point that was passed before the one ahead of it (the acknowledgement returns while the stream is being
    read, the last receiver has it before the posting function has ended) counts as no time. None where no
    message has all its points.
    """
    histograms = {span: Histogram() for span in _SPANS}
    for number, instants in timeline:
        at = {**instants, "received_ns": received_ns.get(number)}
        if any(at.get(point) is None for point in _POINTS):
            continue
        for span, (before, after) in zip(_SPANS, pairwise(_POINTS), strict=True):
            histograms[span].record((at[after] - at[before]) // _US)
    if not histograms[_SPANS[0]].count:
        return None
    return Where(**{span: Metric.of(histogram) for span, histogram in histograms.items()})
