"""Reports of outcomes: a table, CSV, JSON, a page with curves."""

from __future__ import annotations

import csv
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import htpy as h
import orjson

from groupcast_cli import terminal
from groupcast_cli.cost.prices import AS_OF
from loadtest.report import charts
from loadtest.report import words as in_words
from loadtest.report.cards import card, empty_card, table
from loadtest.report.charts import Size
from loadtest.report.html import document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadtest.experiments.simulate.pricing import Cost
    from loadtest.experiments.simulate.simulation import Outcome

SCHEMA = 1
HEAD = (
    *("members", "messages/s", "delivery", "quota/s", "budget/s", "cells"),
    *("p50", "p99", "slowest", "msgs/frame", "quota used", "refused", "frames refused"),
    *("$/million", "$/month"),
)
# Columns that do not fit on a page; the files have them.
_NOT_ON_A_PAGE = frozenset({"budget/s", "quota used", "refused", "frames refused"})
# An unknown percentile: too few messages, or undelivered ones at the end of the simulation.
UNKNOWN = "-"
_TITLE = "Time until the last member has a message"


@dataclass(frozen=True, slots=True)
class Row:
    """An outcome and its cost, None if it does not keep up."""

    outcome: Outcome
    cost: Cost | None


def show_all(rows: Sequence[Row]) -> None:
    """Print a table and its warnings."""
    terminal.show(terminal.table(*HEAD, right=HEAD, rows=[cells(row) for row in rows]))
    for warning in warnings(rows):
        terminal.show(warning)


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table, under HEAD."""
    outcome, setup = row.outcome, row.outcome.setup
    late = (_ms(outcome.group_complete_ms_p50), _ms(outcome.group_complete_ms_p99))
    return (
        f"{setup.members:,}",
        f"{setup.messages_per_second:g}",
        setup.delivery,
        _rate(setup.quota_per_second),
        _rate(setup.budget_per_second or math.inf),
        f"{setup.cells:,}",
        *(late if outcome.keeps_up else ("falls", "behind")),
        _ms(outcome.group_complete_ms_max) if outcome.keeps_up else UNKNOWN,
        f"{outcome.packing:.1f}",
        f"{outcome.quota_used:.0%}",
        f"{outcome.posts_refused:.1%}",
        f"{outcome.inbound_refused:.1%}",
        UNKNOWN if row.cost is None else f"{row.cost.dollars_a_million_deliveries:,.3f}",
        UNKNOWN if row.cost is None else f"{row.cost.dollars_a_month:,.0f}",
    )


def warnings(rows: Sequence[Row]) -> list[str]:
    """A line for each outcome that gave up deliveries."""
    return [
        f"{row.outcome.setup.members:,} members, {row.outcome.setup.messages_per_second:g}/s, "
        f"{row.outcome.setup.delivery}: {row.outcome.given_up:,} deliveries were given up after all retries"
        for row in rows
        if row.outcome.given_up
    ]


def as_json(rows: Sequence[Row]) -> bytes:
    """All values; an infinite quota is null."""
    values = {
        "schema": SCHEMA,
        "pricesAsOf": AS_OF,
        "outcomes": [
            {**asdict(row.outcome), "cost": None if row.cost is None else asdict(row.cost)} for row in rows
        ],
    }
    return orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """One line an outcome, with a header: setup, outcome, cost."""
    lines = [_flat(row) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def write_page(rows: Sequence[Row], path: Path) -> None:
    """Write a page with the curves above the table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document(_TITLE, *_page(rows)), encoding="utf-8")


def curves(rows: Sequence[Row]) -> list[Size]:
    """A point for each outcome that keeps up, labelled by the values that differ between rows."""
    labels = _labels(rows)
    return [
        Size(label, one.setup.members, one.group_complete_ms_p50, None, one.group_complete_ms_max)
        for label, one in zip(labels, (row.outcome for row in rows), strict=True)
        if one.keeps_up
    ]


def _page(rows: Sequence[Row]) -> tuple[h.Element, h.Element]:
    header = h.header[h.p(".over")["groupcast, simulated"], h.h1[_TITLE]]
    drawn = curves(rows)
    lead = "From a message's due time until the last member had it. A setup that falls behind has no point."
    chart = (
        card("by-size", "Group size and completion", lead, charts.by_size(drawn))
        if drawn
        else empty_card("by-size", "Group size and completion")
    )
    columns = [at for at, name in enumerate(HEAD) if name not in _NOT_ON_A_PAGE]
    head = [HEAD[at] for at in columns]
    shown = [[cells(row)[at] for at in columns] for row in rows]
    return header, h.main[chart, card("runs", "The setups", None, table("The setups", head, shown))]


def _labels(rows: Sequence[Row]) -> list[str]:
    setups = [row.outcome.setup for row in rows]
    parts: list[list[str]] = [
        [setup.delivery for setup in setups],
        [f"{setup.messages_per_second:g}/s" for setup in setups],
        [f"quota {_short(setup.quota_per_second)}" for setup in setups],
        [in_words.plural(setup.cells, "cell") for setup in setups],
    ]
    differing = [part for part in parts if len(set(part)) > 1] or parts[:1]
    return [" ".join(of_row) for of_row in zip(*differing, strict=True)]


def _flat(row: Row) -> dict[str, Any]:
    values = asdict(row.outcome)
    cost = {} if row.cost is None else asdict(row.cost)
    names = ("dollars_a_month", "dollars_a_million_deliveries")
    return {**values.pop("setup"), **values, **{name: cost.get(name) for name in names}}


def _ms(value: float | None) -> str:
    return UNKNOWN if value is None else in_words.ms(value)


def _rate(value: float) -> str:
    return "none" if math.isinf(value) else f"{value:,.0f}"


def _short(value: float) -> str:
    return "none" if math.isinf(value) else f"{value / 1000:g}k"
