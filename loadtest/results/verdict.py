"""The verdict on a run and its reasons: did its thresholds hold, and can its numbers be believed? Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadtest.results.result import (
    ERROR,
    EXIT_CODES,
    INTERRUPTED,
    NOT_MEASURED,
    PASS,
    THRESHOLD_FAILED,
    Verdict,
)
from loadtest.results.thresholds import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loadtest.results.result import Health, LedgerTotals, Metric, ThresholdOutcome

# Above these limits, a measurement is of the harness as much as of the system.
FLOOR_SHARE = 0.5
LAG_SHARE = 0.25
CPU_LIMIT = 0.9
LATE_SENDS_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Incidents:
    """Events of a run beside its numbers. `failures` counts users who could not join, by reason; `aborted` is
    the condition that ended the run early.
    """

    failures: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0
    unsent: int = 0
    interrupted: bool = False
    aborted: str | None = None


def judge(
    incidents: Incidents,
    outcomes: Sequence[ThresholdOutcome],
    delivery: Metric,
    ledger: LedgerTotals,
    health: Health,
) -> Verdict:
    """Judge a run. Counts are exact even if the harness was too slow, so a broken count comes first."""
    errors = list(_errors(incidents))
    doubts = list(_doubts(delivery, ledger, health))
    failed = [outcome for outcome in outcomes if not outcome.held]
    broken_counts = any(outcome.expression.startswith(LEDGER) for outcome in failed)
    if errors:
        status = ERROR
    elif incidents.interrupted:
        status = INTERRUPTED
    elif broken_counts or incidents.aborted:
        status = THRESHOLD_FAILED
    elif doubts or any(outcome.value is None for outcome in failed):
        status = NOT_MEASURED
    else:
        status = THRESHOLD_FAILED if failed else PASS
    reasons = (*errors, *map(_failure, failed), *doubts, *_notes(incidents, ledger))
    return Verdict(status, EXIT_CODES[status], reasons)


def _errors(incidents: Incidents) -> Iterator[str]:
    for reason, users in incidents.failures.items():
        yield f"{_counted(users, 'user')} could not join: {reason}"
    if incidents.unsent:
        yield f"{_counted(incidents.unsent, 'message')} could not be sent: their senders were not connected"


def _failure(outcome: ThresholdOutcome) -> str:
    if outcome.value is None:
        return f"{outcome.expression} is unknown: a percentile needs at least 10 samples beyond it"
    return f"{outcome.expression} did not hold: the value was {outcome.value:g}"


def _doubts(delivery: Metric, ledger: LedgerTotals, health: Health) -> Iterator[str]:
    if not delivery.count:
        yield "no delivery was measured"
    if health.cpu_max > CPU_LIMIT:
        yield f"a harness process used {health.cpu_max:.0%} of a core, which is more than {CPU_LIMIT:.0%}"
    if health.late_sends > LATE_SENDS_SHARE * ledger.sent:
        yield f"{health.late_sends} of {ledger.sent} messages left late, by up to {health.late_ms_max:.0f} ms"
    slowest = delivery.p50 if delivery.p99 is None else delivery.p99
    lag_ms = health.loop_lag_ms_p99
    if slowest is not None and lag_ms is not None and lag_ms > LAG_SHARE * slowest:
        yield f"the harness's event loop was {lag_ms:.1f} ms late (p99) where delivery took {slowest:.1f} ms"
    if health.floor_ms is None:
        return
    for name, floor_ms, measured_ms in (
        ("p50", health.floor_ms.p50, delivery.p50),
        ("p99", health.floor_ms.p99, delivery.p99),
    ):
        if floor_ms is not None and measured_ms is not None and floor_ms > FLOOR_SHARE * measured_ms:
            yield f"{name} was {measured_ms:.1f} ms, of which the harness alone takes {floor_ms:.1f} ms"


def _notes(incidents: Incidents, ledger: LedgerTotals) -> Iterator[str]:
    if incidents.interrupted:
        yield "the run was interrupted; the numbers cover the part before that"
    if incidents.aborted:
        yield f"the run ended early because {incidents.aborted} no longer held"
    if incidents.dropped:
        yield f"the server closed {_counted(incidents.dropped, 'connection')} during the run"
    if ledger.refused:
        yield f"the server refused {_counted(ledger.refused, 'message')}"
    unanswered = ledger.sent - ledger.acknowledged - ledger.refused
    if unanswered > 0:
        yield f"{_counted(unanswered, 'message')} got no answer"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
