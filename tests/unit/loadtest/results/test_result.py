"""Results and their JSON."""

from __future__ import annotations

import json

import pytest

from loadtest.results.histogram import Histogram
from loadtest.results.result import Metric, Result
from tests.unit.loadtest.made_up import result


def test_a_result_survives_its_json() -> None:
    """Value for value."""
    written = result()
    assert Result.from_json(written.to_json()) == written


def test_its_json_has_the_names_of_schema_2() -> None:
    """Reports, comparisons and CI rely on these names."""
    data = json.loads(result().to_json())
    assert data["schema"] == 2
    assert set(data) == {
        *("schema", "started_at", "command", "target", "machine", "scenario", "verdict", "thresholds"),
        *("metrics", "where", "ledger", "series", "groups", "health"),
    }
    assert set(data["metrics"]) == {"connect_ms", "ack_ms", "delivery_ms", "group_complete_ms"}
    assert set(data["metrics"]["delivery_ms"]) == {
        *("count", "min", "mean", "p50", "p90", "p95", "p99", "p99_9", "max"),
        *("curve", "precision", "histogram"),
    }
    assert set(data["ledger"]) == {
        *("expected", "received", "lost", "duplicate", "out_of_order", "sent", "acknowledged", "refused")
    }


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 1}', '{"schema": 2}', '{"schema": 2, "command": 3}']
)
def test_an_invalid_result_is_refused(text: str) -> None:
    """Another file or schema is a ValueError and nothing else."""
    with pytest.raises(ValueError, match=r"."):
        Result.from_json(text)


def test_a_wrong_value_is_named_with_its_place() -> None:
    """And the reason."""
    data = json.loads(result().to_json())
    with pytest.raises(ValueError, match="schema 1 is not 2"):
        Result.from_json(json.dumps({**data, "schema": 1}))
    data["scenario"]["users"] = "many"
    with pytest.raises(ValueError, match=r"Expected `int`, got `str` - at `\$.scenario.users`"):
        Result.from_json(json.dumps(data))


def test_a_metric_says_no_more_than_its_samples_support() -> None:
    """100 samples have a p90, but no p95 or p99; the curve ends with p90, too."""
    histogram = Histogram()
    for value_ms in range(1, 101):
        histogram.record(value_ms * 1000)
    metric = Metric.of(histogram)
    assert (metric.count, metric.min, metric.mean, metric.max) == (100, 1, 50.5, 100)
    assert metric.p90 == pytest.approx(90, rel=metric.precision)
    assert metric.p95 is metric.p99 is metric.p99_9 is None
    assert metric.curve[-1][0] == pytest.approx(90, abs=0.001)
    assert sum(count for _, count in metric.histogram.counts) == 100
