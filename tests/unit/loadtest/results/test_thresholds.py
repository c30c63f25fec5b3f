"""Conditions: their syntax, and when they hold."""

from __future__ import annotations

import pytest

from loadtest.errors import ScenarioError
from loadtest.results.histogram import Histogram
from loadtest.results.result import LedgerTotals
from loadtest.results.thresholds import evaluate, parse_abort, parse_threshold

LEDGER = LedgerTotals(
    expected=100, received=99, lost=1, duplicate=0, out_of_order=5, sent=10, acknowledged=10, refused=0
)


def a_thousand() -> Histogram:
    """1, 2, … 1,000 ms."""
    histogram = Histogram()
    for value_ms in range(1, 1001):
        histogram.record(value_ms * 1000)
    return histogram


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("delivery_ms:p(50)<510", True),
        ("delivery_ms:p(50)<490", False),
        (" delivery_ms : p(99) <= 1000 ", True),
        ("delivery_ms:max<1000", False),
        ("delivery_ms:max<=1000", True),
        ("delivery_ms:min>=1", True),
        ("delivery_ms:mean==500.5", True),
        ("delivery_ms:count>999", True),
        ("ledger:lost==0", False),
        ("ledger:lost<=1", True),
        ("ledger:duplicate==0", True),
    ],
)
def test_conditions_hold_or_not(text: str, held: bool) -> None:
    """For each statistic, count and comparison."""
    assert evaluate(parse_threshold(text), {"delivery_ms": a_thousand()}, LEDGER).held is held


def test_a_condition_on_an_unknown_value_does_not_hold() -> None:
    """Too few samples support the percentile."""
    outcome = evaluate(parse_threshold("delivery_ms:p(99.9)<9999"), {"delivery_ms": a_thousand()}, LEDGER)
    assert outcome.value is None
    assert not outcome.held


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("delivery_ms", "is not a condition such as"),
        ("delivery_ms:p(99)=250", "is not a condition such as"),
        ("latency:p(99)<250", "latency is not one of connect_ms"),
        ("delivery_ms:p99<250", "delivery_ms has p"),
        ("delivery_ms:p<250", "delivery_ms has p"),
        ("delivery_ms:max(3)<250", "delivery_ms has p"),
        ("delivery_ms:lost==0", "delivery_ms has p"),
        ("ledger:max<1", "ledger has expected"),
        ("delivery_ms:p(100)<250", "the largest value is max"),
        ("delivery_ms:p(9.9.9)<250", "an invalid number"),
    ],
)
def test_a_wrong_condition_has_a_clear_error(text: str, says: str) -> None:
    """It lists the choices."""
    with pytest.raises(ScenarioError, match=says):
        parse_threshold(text)


def test_a_run_cannot_be_aborted_on_completion_times() -> None:
    """They are known only at the end, when all processes' counts are combined."""
    assert parse_abort("delivery_ms:p(99)<250").subject == "delivery_ms"
    with pytest.raises(ScenarioError, match="known only when the run is over"):
        parse_abort("group_complete_ms:p(50)<250")
