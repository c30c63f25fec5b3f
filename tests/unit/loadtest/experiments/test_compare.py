"""Paired comparison: its statistics and the order of measurements."""

from __future__ import annotations

import argparse
import json
import random
import statistics
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.errors import LoadTestError, ScenarioError
from loadtest.experiments import compare
from loadtest.experiments.targets import NamedTarget, parse_target
from loadtest.results.ratios import (
    AA_LIMIT,
    CONFIDENCE,
    MIN_PAIRS,
    Pair,
    compared,
    coverage,
    interval_of,
    refused,
    self_test,
)
from loadtest.results.result import EXIT_CODES, Result, ThresholdOutcome, Verdict
from tests.unit.loadtest import made_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from groupcast_cli.terminal import Steps
    from loadtest.control.live import View
    from loadtest.control.runner import Session
    from loadtest.plan.scenario import Scenario

RATIOS = st.lists(st.floats(0.01, 100), min_size=MIN_PAIRS, max_size=60)


def pairs(*ratios: float) -> list[Pair]:
    return [Pair(100.0, 100.0 * ratio) for ratio in ratios]


STABLE = self_test(pairs(0.98, 0.99, 1.0, 1.0, 1.01, 1.02))


@pytest.mark.parametrize(
    ("count", "place", "probability"),
    [(5, 1, 0.9375), (6, 1, 0.96875), (9, 2, 0.9609375), (20, 6, 0.95861053)],
)
def test_coverage_is_that_of_the_sign_test(count: int, place: int, probability: float) -> None:
    """The probabilities are from the sign test's binomial tables."""
    assert coverage(count, place) == pytest.approx(probability)


@given(ratios=RATIOS)
def test_an_interval_encloses_the_median_and_is_minimal(ratios: list[float]) -> None:
    """Its limits are measured values; one place further in would be too narrow."""
    found = interval_of(ratios)
    assert min(ratios) <= found.low <= found.median <= found.high <= max(ratios)
    assert found.median == statistics.median(ratios)
    assert found.confidence >= CONFIDENCE
    ordered = sorted(ratios)
    place = next(k for k in range(1, len(ratios)) if coverage(len(ratios), k) == found.confidence)
    assert (found.low, found.high) == (ordered[place - 1], ordered[-place])
    assert coverage(len(ratios), place + 1) < CONFIDENCE


@pytest.mark.parametrize("count", [6, 9, 15])
def test_intervals_miss_the_true_median_as_rarely_as_they_say(count: int) -> None:
    """The stated share of many samples of a skewed distribution encloses its median."""
    dice = random.Random(7)
    samples = [[dice.lognormvariate(0.3, 1.0) for _ in range(count)] for _ in range(4000)]
    true_median = 2.718281828**0.3
    intervals = [interval_of(sample) for sample in samples]
    held = statistics.mean(found.low <= true_median <= found.high for found in intervals)
    # Five standard errors of a share of 4,000 samples.
    assert held == pytest.approx(intervals[0].confidence, abs=5 * (0.05 * 0.95 / 4000) ** 0.5)


def test_too_few_pairs_have_no_interval() -> None:
    """Five pairs cannot give 95 percent."""
    with pytest.raises(ValueError, match="at least 6"):
        interval_of([1.0] * (MIN_PAIRS - 1))


@pytest.mark.parametrize("outlier", [1 + AA_LIMIT + 0.01, 1 / (1 + AA_LIMIT) - 0.01])
def test_a_target_that_differs_from_itself_is_unstable(outlier: float) -> None:
    """With six pairs, a single one outside the limit, either way, makes A/A unstable."""
    assert STABLE.stable
    assert not self_test(pairs(1.0, 1.0, 1.0, 1.0, 1.0, outlier)).stable


def test_a_clear_difference_is_reported_with_its_interval() -> None:
    """The verdict has the ratio and its range."""
    found = compared("now", "peer", "delivery_ms:p(50)", STABLE, pairs(2.1, 2.2, 2.3, 2.5, 2.6, 2.7))
    assert found.verdict == "peer is 2.40 times now (2.10 to 2.70)"
    assert (found.median, found.low, found.high) == (2.4, 2.1, 2.7)
    assert found.pairs[0] == {"a": 100.0, "b": 210.0, "ratio": 2.1}


@pytest.mark.parametrize("ratios", [(0.9, 1, 1.2, 1.3, 1.4, 1.5), (1.005, 1.01, 1.01, 1.01, 1.015, 1.02)])
def test_a_possibly_random_ratio_is_no_difference(ratios: tuple[float, ...]) -> None:
    """An interval around 1, or one within A's own variation, shows nothing."""
    assert compared("a", "b", "m", STABLE, pairs(*ratios)).verdict.startswith("no difference shown: b was ")


def test_a_refusal_has_no_numbers_for_b() -> None:
    """If A/A was unstable, median and interval are null, and the reason is given."""
    found = refused("now", "peer", "m", self_test(pairs(0.5, 0.6, 1.0, 1.0, 1.5, 2.0)))
    assert (found.median, found.low, found.high, found.pairs) == (None, None, None, ())
    assert "now was 0.50 to 2.00 times itself" in found.verdict


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("now", NamedTarget("now")),
        ("stage = wss://abc.example/dev?x=1", NamedTarget("stage", url="wss://abc.example/dev?x=1")),
        ("one each=--param frameBytes=0", NamedTarget("one each", arguments=("--param", "frameBytes=0"))),
        ("a=--param 'x=b c'", NamedTarget("a", arguments=("--param", "x=b c"))),
    ],
)
def test_a_target_is_a_label_with_a_url_or_options(text: str, side: NamedTarget) -> None:
    """LABEL, LABEL=URL and LABEL=OPTIONS are parsed, even with other equals signs."""
    assert parse_target(text) == side


@pytest.mark.parametrize("text", ["", "=ws://127.0.0.1", "a=http://127.0.0.1", "a=b c", "a=--x 'open"])
def test_an_invalid_target_is_refused(text: str) -> None:
    """No label, another URL scheme, or invalid options: one sentence, and nothing starts."""
    with pytest.raises(ScenarioError):
        parse_target(text)


class Targets:
    """Replaces clouds and runs: records the measurements and returns a value for each target."""

    def __init__(self, value: Callable[[str, int], float | None]) -> None:
        self.value = value
        self.measured: list[tuple[str, int]] = []
        self.verdict = Verdict("pass", 0, ())

    @asynccontextmanager
    async def started(self, target: NamedTarget, _: Steps) -> AsyncIterator[str]:
        yield f"ws://{target.label}"

    async def run(self, scenario: Scenario, session: Session, *, live: View) -> Result:
        live.close()
        self.measured.append((session.label, scenario.seed))
        value = self.value(session.label, len(self.measured))
        outcomes = (ThresholdOutcome(session.thresholds[0].expression, value, held=value is not None),)
        whole = made_up.result(seconds=2)
        return replace(whole, thresholds=outcomes, verdict=self.verdict)


def measured_by(targets: Targets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "started", targets.started)
    monkeypatch.setattr(compare, "run", targets.run)


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    compare.add_arguments(parser)
    return parser.parse_args(["--a", "now", "--b", "peer", "--calibrate", "0", *arguments])


async def test_pairs_alternate_after_a_against_a(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """First only A, then A and B alternately. Both sides of a pair share a seed; each pair has its own."""
    targets = Targets(lambda label, _: 40.0 if label == "peer" else 20.0)
    measured_by(targets, monkeypatch)
    path = tmp_path / "new" / "compared.json"
    assert await compare.main(parsed("--json", str(path), "--seed", "5")) == 0
    aa, ab = targets.measured[:12], targets.measured[12:]
    assert {label for label, _ in aa} == {"now"}
    assert [label for label, _ in ab] == ["now", "peer", "peer", "now"] * 3
    assert [seed for _, seed in ab] == [5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10]
    written: dict[str, Any] = json.loads(path.read_text())
    assert written["verdict"] == "peer is 2.00 times now (2.00 to 2.00)"
    assert written["schema"] == 1
    assert written["aa"]["stable"] is True
    assert [pair["ratio"] for pair in written["pairs"]] == [2.0] * 6
    assert capsys.readouterr().out.endswith("peer is 2.00 times now (2.00 to 2.00)\n")


async def test_an_unstable_a_is_refused_before_b_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With exit code 4."""
    targets = Targets(lambda _, number: 20.0 * number)
    measured_by(targets, monkeypatch)
    assert await compare.main(parsed()) == EXIT_CODES["not measured"] == 4
    assert {label for label, _ in targets.measured} == {"now"}


@pytest.mark.parametrize("value", [None, 0.0])
async def test_a_missing_value_is_not_compared(monkeypatch: pytest.MonkeyPatch, value: float | None) -> None:
    """Too few samples for the metric, or a time of 0, have no ratio: exit code 4 at once."""
    targets = Targets(lambda *_: value)
    measured_by(targets, monkeypatch)
    assert await compare.main(parsed()) == 4
    assert len(targets.measured) == 1


async def test_a_target_that_loses_messages_ends_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the number of lost messages."""
    targets = Targets(lambda *_: 20.0)
    targets.verdict = Verdict("threshold failed", 3, ("ledger:lost==0 did not hold: it was 3",))
    measured_by(targets, monkeypatch)
    with pytest.raises(LoadTestError, match="now: ledger:lost==0 did not hold"):
        await compare.main(parsed())


@pytest.mark.parametrize(
    "arguments", [("--pairs", "5"), ("--metric", "ledger:lost"), ("--metric", "speed:p(50)"), ("--a", "=")]
)
async def test_invalid_options_are_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """Too few pairs, a count, an unknown metric, a target without a label."""
    targets = Targets(lambda *_: 20.0)
    measured_by(targets, monkeypatch)
    with pytest.raises(ScenarioError):
        await compare.main(parsed(*arguments))
    assert targets.measured == []
