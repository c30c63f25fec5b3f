"""The parts of the page that are words and numbers: key figures, health, thresholds, ledger, scenario."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from loadtest.report import overtime, verdicts, words
from loadtest.report.cards import as_text, card, figure, mark, table, table_behind, tile
from loadtest.report.markup import Markup, tag, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    Result = Mapping[str, Any]

NO_VALUE = "\N{EN DASH}"
# Counts that should be 0.
_FAULTS = frozenset({"lost", "duplicate", "refused"})


def figures(result: Result) -> Markup:
    """The key figures, as tiles."""
    metrics, counts, series = result["metrics"], result["ledger"], result["series"]
    measured = verdicts.is_measured(result)
    tiles = []
    for metric, name in (
        ("group_complete_ms", "last delivery"),
        ("delivery_ms", "each delivery"),
        ("ack_ms", "ack"),
    ):
        tiles.append(tile(f"{name}, p99", *_latency(metrics[metric], measured=measured)))
    lost_of = f"of {words.count(counts['expected'])}, {words.count(counts['duplicate'])} double"
    tiles.append(tile("lost", words.count(counts["lost"]), lost_of))
    seconds = len(series) or 1
    delivered, sent = (words.rate(sum(row[key] for row in series) / seconds) for key in ("delivered", "sent"))
    tiles.append(tile("deliveries a second", delivered, f"from {sent} messages"))
    return tag("dl", *tiles, class_="tiles")


def _latency(metric: Mapping[str, Any], *, measured: bool) -> tuple[str, str]:
    if not measured:
        return NO_VALUE, "not measured"
    median = f"median {words.ms(metric['p50'])}"
    if metric["p99"] is None:
        return NO_VALUE, f"{words.TOO_FEW}, {median}"
    return words.ms(metric["p99"]), median


def health(result: Result) -> Markup:
    """The harness itself: can the numbers be believed?"""
    rows = overtime.thinned(result["series"])
    by_second = [(row["t_s"], words.ms(row["loop_lag_ms_max"]), words.share(row["cpu"])) for row in rows]
    return card(
        "harness-health",
        "Can this be believed?",
        verdicts.harness(result),
        tag(
            "div",
            table("Health of the harness", ("harness", "seen"), as_text(_health_rows(result)), texts=2),
            figure(overtime.harness(rows)) if rows else Markup(""),
            class_="halves",
        ),
        table_behind("The harness by second", ("second", "longest loop lag", "CPU"), by_second),
        kind="" if verdicts.is_measured(result) else "doubt",
    )


def _health_rows(result: Result) -> list[tuple[str, str]]:
    seen = result["health"]
    floor, lag_ms = seen["floor_ms"], seen["loop_lag_ms_p99"]
    if floor is None:
        told = "not calibrated"
    else:
        told = f"median {words.ms(floor['p50'])}, p99 {words.ms(floor['p99'])}"
        told += f", {words.plural(floor['messages'], 'message')}"
    return [
        ("floor", told),
        (
            "event loop lag",
            f"p99 {words.ms(lag_ms)}, max {words.ms(seen['loop_lag_ms_max'])}",
        ),
        ("busiest process", f"{words.share(seen['cpu_max'])} of a core"),
        ("late sends", f"{words.count(seen['late_sends'])}, by {words.ms(seen['late_ms_max'])} at most"),
        ("recording a sample", f"{words.count(seen['record_ns'])} ns"),
    ]


def thresholds(result: Result) -> Markup:
    rows = [
        (
            text(one["expression"]),
            text(verdicts.found(one)),
            mark("held" if one["held"] else "failed", good=one["held"]),
        )
        for one in result["thresholds"]
    ]
    if not rows:
        return card(
            "thresholds", "Thresholds", "None were set: --threshold 'delivery_ms:p(99)<250' sets one."
        )
    shown = table("Thresholds", ("threshold", "found", "verdict"), rows)
    return card("thresholds", "Thresholds", "What this run had to keep.", shown)


def ledger(result: Result) -> Markup:
    rows = [
        (
            text(name.replace("_", " ")),
            mark(words.count(number), good=not number) if name in _FAULTS else text(words.count(number)),
        )
        for name, number in result["ledger"].items()
    ]
    shown = table("Ledger", ("counted, warm-up included", "number"), rows)
    return card("ledger", "Ledger", verdicts.ledger(result), shown)


def scenario(result: Result) -> Markup:
    """What was asked for, and the command that asks for it again."""
    asked, machine, target = result["scenario"], result["machine"], result["target"]
    stages = ", ".join(
        f"{stage['duration_s']:g} s of {words.count(stage['users'])}" for stage in asked["stages"]
    )
    rows = (
        ("target", f"{target['label']} ({target['kind']}), {target['url']}"),
        ("users", f"{stages}; {asked['connect_rate']:g} connect a second"),
        ("groups", words.count(asked["groups"])),
        ("messages", f"{asked['rate']:g} a second over all groups, {asked['arrival']} arrivals"),
        ("message size", f"{words.count(asked['size_bytes'])} bytes"),
        ("open loop", "due times are fixed in advance; a late send counts from when it was due"),
        ("time", f"{asked['duration_s']:g} s measured, after {asked['warmup_s']:g} s of warm-up"),
        ("drain", f"{asked['drain_s']:g} s for what was still under way"),
        ("harness", f"{words.plural(asked['processes'], 'process', 'processes')}, seed {asked['seed']}"),
        (
            "machine",
            f"{words.plural(machine['cores'], 'core')}, Python {machine['python']}, {machine['platform']}",
        ),
    )
    command = tag("code", text(shlex.join(("python", "-m", "loadtest", *result["command"]))))
    return card(
        "scenario",
        "Scenario",
        None,
        table("Scenario", ("setting", "value"), as_text(rows), texts=2),
        tag("p", command, class_="command"),
    )
