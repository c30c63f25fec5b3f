"""The parts of the page without charts: key figures, health, thresholds, ledger, scenario."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

import htpy as h

from loadtest.report import charts, verdicts, words
from loadtest.report.cards import card, mark, table, table_behind, tile
from loadtest.report.thinning import thinned

if TYPE_CHECKING:
    from loadtest.results.result import Metric, Result

NO_VALUE = "\N{EN DASH}"
# Counts that should be 0.
_FAULTS = frozenset({"lost", "duplicate", "refused"})


def figures(result: Result) -> h.Element:
    """The key figures, as tiles."""
    metrics, counts, series = result.metrics, result.ledger, result.series
    measured = verdicts.is_measured(result)
    tiles = []
    for metric, name in (
        (metrics.group_complete_ms, "last delivery"),
        (metrics.delivery_ms, "each delivery"),
        (metrics.ack_ms, "ack"),
    ):
        tiles.append(tile(f"{name}, p99", *_latency(metric, measured=measured)))
    lost_of = f"of {words.count(counts.expected)}, {words.count(counts.duplicate)} duplicate"
    tiles.append(tile("lost", words.count(counts.lost), lost_of))
    seconds = len(series) or 1
    delivered = words.rate(sum(row.delivered for row in series) / seconds)
    sent = words.rate(sum(row.sent for row in series) / seconds)
    tiles.append(tile("deliveries a second", delivered, f"from {sent} messages"))
    return h.dl(".tiles")[tiles]


def _latency(metric: Metric, *, measured: bool) -> tuple[str, str]:
    if not measured:
        return NO_VALUE, "not measured"
    median = f"median {words.ms(metric.p50)}"
    if metric.p99 is None:
        return NO_VALUE, f"{words.TOO_FEW}, {median}"
    return words.ms(metric.p99), median


def health(result: Result) -> h.Element:
    """The health of the harness."""
    rows = thinned(result.series)
    by_second = [(row.t_s, words.ms(row.loop_lag_ms_max), words.share(row.cpu)) for row in rows]
    return card(
        "harness-health",
        "Can these numbers be believed?",
        verdicts.harness(result),
        h.div(".halves")[
            table("Health of the harness", ("harness", "value"), _health_rows(result), texts=2),
            charts.harness(rows) if rows else None,
        ],
        table_behind("The harness by second", ("second", "longest loop lag", "CPU"), by_second),
        kind="" if verdicts.is_measured(result) else "doubt",
    )


def _health_rows(result: Result) -> list[tuple[str, str]]:
    seen, floor = result.health, result.health.floor_ms
    floor_text = "not calibrated"
    if floor is not None:
        messages = words.plural(floor.messages, "message")
        floor_text = f"median {words.ms(floor.p50)}, p99 {words.ms(floor.p99)}, {messages}"
    return [
        ("floor", floor_text),
        ("event loop lag", f"p99 {words.ms(seen.loop_lag_ms_p99)}, max {words.ms(seen.loop_lag_ms_max)}"),
        ("busiest process", f"{words.share(seen.cpu_max)} of a core"),
        ("late sends", f"{words.count(seen.late_sends)}, by {words.ms(seen.late_ms_max)} at most"),
        ("recording a sample", f"{words.count(seen.record_ns)} ns"),
    ]


def thresholds(result: Result) -> h.Element:
    rows = [
        (
            one.expression,
            verdicts.found(one),
            mark("held" if one.held else "failed", good=one.held),
        )
        for one in result.thresholds
    ]
    if not rows:
        return card(
            "thresholds", "Thresholds", "There were none. Set one with --threshold 'delivery_ms:p(99)<250'."
        )
    shown = table("Thresholds", ("threshold", "value", "verdict"), rows)
    return card("thresholds", "Thresholds", "The conditions of this run.", shown)


def ledger(result: Result) -> h.Element:
    rows = [
        (
            name.replace("_", " "),
            mark(words.count(number), good=not number) if name in _FAULTS else words.count(number),
        )
        for name, number in asdict(result.ledger).items()
    ]
    shown = table("Ledger", ("count, warm-up included", "number"), rows)
    return card("ledger", "Ledger", verdicts.ledger(result), shown)


def scenario(result: Result) -> h.Element:
    """The scenario and the command line."""
    scenario, machine, target = result.scenario, result.machine, result.target
    stages = ", ".join(f"{stage.duration_s:g} s of {words.count(stage.users)}" for stage in scenario.stages)
    rows = (
        ("target", f"{target.label} ({target.kind}), {target.url}"),
        ("users", f"{stages}; {scenario.connect_rate:g} connect a second"),
        ("groups", words.count(scenario.groups)),
        ("messages", f"{scenario.rate:g} a second over all groups, {scenario.arrival} arrivals"),
        ("message size", f"{words.count(scenario.size_bytes)} bytes"),
        (
            "open loop",
            "due times are fixed in advance; latencies count from them even after a late send",
        ),
        ("time", f"{scenario.duration_s:g} s measured, after {scenario.warmup_s:g} s of warm-up"),
        ("drain", f"{scenario.drain_s:g} s for messages still under way"),
        ("harness", f"{words.plural(scenario.processes, 'process', 'processes')}, seed {scenario.seed}"),
        ("machine", f"{words.plural(machine.cores, 'core')}, Python {machine.python}, {machine.platform}"),
    )
    command = shlex.join(("python", "-m", "loadtest", *result.command))
    return card(
        "scenario",
        "Scenario",
        None,
        table("Scenario", ("setting", "value"), rows, texts=2),
        h.p(".command")[h.code[command]],
    )
