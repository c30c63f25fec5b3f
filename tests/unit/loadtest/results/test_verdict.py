"""The verdict, and the precedence of its reasons."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtest.results.histogram import Histogram
from loadtest.results.result import Floor, Health, LedgerTotals, Metric, ThresholdOutcome, Verdict
from loadtest.results.verdict import Incidents, judge

LEDGER = LedgerTotals(
    expected=2000, received=2000, lost=0, duplicate=0, out_of_order=0, sent=100, acknowledged=100, refused=0
)
HEALTH = Health(
    loop_lag_ms_p99=1.0,
    loop_lag_ms_max=5.0,
    cpu_max=0.5,
    late_sends=0,
    late_ms_max=1.0,
    floor_ms=Floor(2.0, 5.0, 100),
    record_ns=300,
)
HELD = ThresholdOutcome("delivery_ms:p(99)<250", 100.0, True)
SLOW = ThresholdOutcome("delivery_ms:p(99)<50", 100.0, False)
UNKNOWN = ThresholdOutcome("delivery_ms:p(99.99)<50", None, False)
LOST = ThresholdOutcome("ledger:lost==0", 3, False)


def delivery(milliseconds: int = 100) -> Metric:
    histogram = Histogram()
    for _ in range(2000):
        histogram.record(milliseconds * 1000)
    return Metric.of(histogram)


def judged(
    *outcomes: ThresholdOutcome,
    course: Incidents | None = None,
    health: Health = HEALTH,
    metric: Metric | None = None,
) -> Verdict:
    return judge(course or Incidents(), outcomes, metric or delivery(), LEDGER, health)


def test_held_conditions_on_a_healthy_harness_pass() -> None:
    """With exit code 0 and no reasons."""
    assert judged(HELD) == Verdict("pass", 0, ())


@pytest.mark.parametrize(
    ("outcomes", "course", "exit_code"),
    [
        ([SLOW], Incidents(), 3),
        ([UNKNOWN], Incidents(), 4),
        ([UNKNOWN, SLOW], Incidents(), 4),
        ([UNKNOWN, LOST], Incidents(), 3),
        ([LOST], Incidents(interrupted=True), 130),
        ([SLOW], Incidents(failures={"refused": 1}, interrupted=True), 1),
        ([HELD], Incidents(unsent=1), 1),
        ([HELD], Incidents(aborted="delivery_ms:max<5"), 3),
        ([HELD], Incidents(dropped=3), 0),
    ],
)
def test_precedence_of_verdicts(outcomes: list[ThresholdOutcome], course: Incidents, exit_code: int) -> None:
    """An error, an interruption, a broken count, a doubt, a broken latency."""
    assert judged(*outcomes, course=course).exit_code == exit_code


@pytest.mark.parametrize(
    ("health", "says"),
    [
        (replace(HEALTH, cpu_max=0.95), "95% of a core"),
        (replace(HEALTH, loop_lag_ms_p99=26.0), "event loop was 26.0 ms late"),
        (replace(HEALTH, late_sends=6, late_ms_max=80.0), "6 of 100 messages left late, by up to 80 ms"),
        (replace(HEALTH, floor_ms=Floor(51.0, None, 10)), "p50 was 100.0 ms, of which the harness alone"),
        (replace(HEALTH, floor_ms=Floor(5.0, 60.0, 10)), "p99 was 100.0 ms, of which the harness alone"),
    ],
)
def test_a_harness_at_its_limit_has_not_measured(health: Health, says: str) -> None:
    """The run fails as not measured even if its conditions held."""
    verdict = judged(HELD, health=health)
    assert verdict.exit_code == 4
    assert says in verdict.reasons[0]


def test_broken_counts_stand_whatever_the_harness_did() -> None:
    """A lost delivery is lost on a busy machine, too."""
    assert judged(LOST, health=replace(HEALTH, cpu_max=1.0)).exit_code == 3


def test_without_a_delivery_nothing_was_measured() -> None:
    """An empty run is not a fast run."""
    verdict = judged(metric=Metric.of(Histogram()))
    assert verdict == Verdict("not measured", 4, ("no delivery was measured",))


def test_a_harness_without_a_floor_can_still_pass() -> None:
    """Without calibration there is no comparison with a floor."""
    assert judged(health=replace(HEALTH, floor_ms=None)).exit_code == 0


def test_missing_replies_are_mentioned() -> None:
    """Their messages' outcome is unknown."""
    ledger = replace(LEDGER, acknowledged=90, refused=4)
    verdict = judge(Incidents(), (), delivery(), ledger, HEALTH)
    assert verdict.reasons == ("the server refused 4 messages", "6 messages got no answer")
