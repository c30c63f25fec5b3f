"""The live table of a run: a row every two seconds, and a bar for the whole run."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

from groupcast_cli.terminal import Steps, row
from loadtest.plan.schedule import horizon_s, stage_bounds_s

if TYPE_CHECKING:
    from loadtest.plan.scenario import Scenario
    from loadtest.results.histogram import Histogram
    from loadtest.results.result import LedgerTotals

EVERY_S = 2.0
_HEAD_EVERY = 20
_COLUMNS = ("time", "users", "sent", "delivered", "p50 ms", "p99 ms", "max ms", "lost", "lag ms")
# Together they fit 80 columns.
_WIDTHS = (7, 7, 7, 10, 7, 7, 7, 5, 6)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run so far. `at_s` counts from the start of the warm-up, None until all users are connected.
    Latencies are of all deliveries; `lost` are those missing for a drain; `lag_ms` is the
    largest since the last one.
    """

    at_s: float | None
    users: int
    sent: int
    delivered: int
    p50: float | None
    p99: float | None
    max: float | None
    lost: int
    lag_ms: float

    @classmethod
    def of(
        cls, at_s: float | None, users: int, ledger: LedgerTotals, delivery: Histogram, lag_ms: float
    ) -> Snapshot:
        p50, p99 = delivery.percentiles((50, 99))
        return cls(
            at_s=at_s,
            users=users,
            sent=ledger.sent,
            delivered=ledger.received,
            p50=p50,
            p99=p99,
            max=delivery.max_ms,
            lost=ledger.lost,
            lag_ms=lag_ms,
        )


class View(Protocol):
    """Watches a run."""

    def show(self, snapshot: Snapshot) -> None:
        """Called about every EVERY_S."""

    def close(self) -> None:
        """Called at the end of the run."""


class LiveView:
    """Writes a row of a table every EVERY_S; on a terminal there is a bar below."""

    def __init__(self, scenario: Scenario, stream: TextIO) -> None:
        # Redrawn with each row: a thread would disturb the measurement.
        self._steps = Steps(stream, bar=True, kept=False, is_quiet=True, is_ticking=False)
        self._opened = ExitStack()
        self._bar = PhaseView(scenario, self._steps)
        self._rows = 0

    def show(self, snapshot: Snapshot) -> None:
        """Add a row, and move the bar."""
        if not self._rows:
            self._opened.enter_context(self._steps)
            self._steps.step("")
        if self._rows % _HEAD_EVERY == 0:
            self._steps.note(row(_COLUMNS, _WIDTHS))
        self._rows += 1
        self._steps.note(row(_cells(snapshot), _WIDTHS))
        self._bar.show(snapshot)

    def close(self) -> None:
        self._opened.close()


class PhaseView:
    """Moves the bar of a step by the progress of a run, whose phase is added to the step's label."""

    def __init__(self, scenario: Scenario, steps: Steps, label: str = "") -> None:
        self._scenario = scenario
        self._steps = steps
        self._label = f"{label}: " if label else ""

    def show(self, snapshot: Snapshot) -> None:
        text = f"{self._label}{phase(self._scenario, snapshot.at_s)}"
        self._steps.advance(snapshot.at_s or 0.0, text, of=horizon_s(self._scenario))
        self._steps.refresh()

    def close(self) -> None:
        """The caller ends the step."""


def expected_s(scenario: Scenario) -> float:
    """About how long a run takes."""
    connecting_s = scenario.stages[0].users / scenario.connect_rate
    return connecting_s + horizon_s(scenario) + scenario.drain_s


def phase(scenario: Scenario, at_s: float | None) -> str:
    """Name the current part of a run."""
    if at_s is None:
        return f"connecting {scenario.stages[0].users} users"
    if at_s < scenario.warmup_s:
        return "warming up"
    for number, (_, until_s) in enumerate(stage_bounds_s(scenario), start=1):
        if at_s < until_s:
            users = scenario.stages[number - 1].users
            return f"stage {number} of {len(scenario.stages)}, {users} users, {until_s - at_s:.0f} s left"
    return "draining"


def _cells(snapshot: Snapshot) -> tuple[str, ...]:
    return (
        "connect" if snapshot.at_s is None else f"{snapshot.at_s:.0f} s",
        f"{snapshot.users:,}",
        f"{snapshot.sent:,}",
        f"{snapshot.delivered:,}",
        _ms(snapshot.p50),
        _ms(snapshot.p99),
        _ms(snapshot.max),
        f"{snapshot.lost:,}",
        _ms(snapshot.lag_ms),
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
