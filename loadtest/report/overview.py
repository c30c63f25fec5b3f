"""Several runs on one page: completion by group size and target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import htpy as h

from loadtest.report import charts, verdicts, words
from loadtest.report.cards import card, empty_card, mark, table
from loadtest.report.charts import Size
from loadtest.results.result import PASS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.results.result import Result

_HEAD = ("target", "members", "messages a second", "median", "p99", "max", "lost", "floor", "verdict")


def overview(results: Sequence[Result]) -> tuple[str, Sequence[h.Element]]:
    """Return the title and the parts of the page."""
    measured = [size_of(result) for result in results if verdicts.is_measured(result)]
    title = headline(measured)
    header = h.header[
        h.p(".over")[f"groupcast load test · {words.plural(len(results), 'run')}"],
        h.h1[title[0].upper() + title[1:]],
    ]
    drawn = [size for size in measured if size.max is not None]
    if drawn:
        lead = "From a message's due time until the last member of its group had it."
        chart = card("by-size", "Group size and completion", lead, charts.by_size(drawn))
    else:
        chart = empty_card("by-size", "Group size and completion")
    return title, (header, h.main[chart, _runs(results)])


def headline(sizes: Sequence[Size]) -> str:
    """`last of 5,000 members: groupcast 310 ms, aioboto3 2,450 ms (median)`, for the largest group.

    With too few messages for a median, it has the slowest ones instead.
    """
    largest = max((size.members for size in sizes), default=0)
    largest_sizes = [size for size in sizes if size.members == largest]
    if not largest_sizes:
        return "nothing was measured"
    medians = all(size.p50 is not None for size in largest_sizes)
    values = (f"{size.label} {words.ms(size.p50 if medians else size.max)}" for size in largest_sizes)
    what = "median" if medians else "slowest"
    return f"last of {words.plural(largest, 'member')}: {', '.join(values)} ({what})"


def size_of(result: Result) -> Size:
    """A run as a point in the chart; with several groups, at the members of the largest."""
    complete = result.metrics.group_complete_ms
    members = max((row.members for row in result.groups), default=0)
    return Size(result.target.label, members, complete.p50, complete.p99, complete.max)


def _runs(results: Sequence[Result]) -> h.Element:
    rows = []
    for result in sorted(results, key=lambda one: (size_of(one).members, size_of(one).label)):
        size, floor = size_of(result), result.health.floor_ms
        is_measured, lost = verdicts.is_measured(result), result.ledger.lost
        status = result.verdict.status
        rows.append(
            (
                size.label,
                words.count(size.members),
                words.rate(result.scenario.rate),
                *(
                    words.ms(value) if is_measured else "not measured"
                    for value in (size.p50, size.p99, size.max)
                ),
                mark(words.count(lost), good=not lost),
                words.ms(floor.p50) if floor else "not calibrated",
                mark(verdicts.STATUS_WORDS.get(status, status), good=status == PASS),
            )
        )
    return card("runs", "The runs", None, table("The runs", _HEAD, rows))
