"""The lines a terminal shows at the end."""

from __future__ import annotations

from dataclasses import replace

from loadtest.report.summary import calibration_text, summary_text
from loadtest.results.result import Result
from tests.unit.loadtest.made_up import result


def made_up() -> Result:
    return result()


def test_a_summary_has_every_answer() -> None:
    """Metrics, the parts of every way, counts, the floor, each condition and the verdict with its reasons."""
    found = made_up()
    found = replace(found, verdict=replace(found.verdict, reasons=("because of this", "and of that")))
    lines = summary_text(found).splitlines()
    first_words = {line.split()[0] for line in lines if line.strip()}
    assert {"connect_ms", "ack_ms", "delivery_ms", "group_complete_ms"} <= first_words
    for words, parts in (("sendMessage offered", 5), ("the stream offered", 7)):
        begins = lines.index(f"of which, a message that {words}") + 1
        assert all(line.startswith("  ") for line in lines[begins : begins + parts])
        assert lines[begins + parts] == ""
    assert any(line.startswith("  stored to read") for line in lines)
    assert any(line.startswith("  first post to last post") for line in lines)
    assert any(f"{found.ledger.lost:,} lost" in line for line in lines)
    assert any(line.startswith("floor:") for line in lines)
    for outcome in found.thresholds:
        state = "held" if outcome.held else "broken"
        assert any(line.startswith(state) and outcome.expression in line for line in lines)
    assert lines[-3:] == [f"verdict: {found.verdict.status}", "  - because of this", "  - and of that"]
    assert max(map(len, lines)) < 160


def test_what_is_unknown_is_a_dash() -> None:
    """No timeline, no table of spans; no floor, no line about it; too few samples, a dash."""
    found = made_up()
    metrics = replace(found.metrics, delivery_ms=replace(found.metrics.delivery_ms, p99_9=None))
    found = replace(
        found, metrics=metrics, where=(), health=replace(found.health, floor_ms=None), thresholds=()
    )
    text = summary_text(found)
    (delivery,) = [line for line in text.splitlines() if line.startswith("delivery_ms")]
    assert delivery.split()[5] == "-"
    assert "stored to read" not in text
    assert "floor:" not in text


def test_a_calibration_is_about_the_harness() -> None:
    """Latencies and health, and nothing of conditions."""
    text = calibration_text(made_up())
    assert "delivery_ms" in text
    assert "harness:" in text
    assert "verdict" not in text
