"""The live table of a run: a row every two seconds, and a progress bar over the stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

from loadtest.plan.schedule import horizon_s, stage_bounds_s

if TYPE_CHECKING:
    from loadtest.plan.scenario import Scenario
    from loadtest.results.histogram import Histogram
    from loadtest.results.result import LedgerTotals

EVERY_S = 2.0
_BAR_WIDTH = 40
_HEAD_EVERY = 20
_CLEAR_LINE = "\r\x1b[2K"
_COLUMNS = ("time", "users", "sent", "delivered", "p50 ms", "p99 ms", "max ms", "lost", "lag ms")


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
    """Writes a table with a progress bar to a terminal, and plain rows to other streams."""

    def __init__(self, scenario: Scenario, stream: TextIO) -> None:
        self._scenario = scenario
        self._stream = stream
        self._tty = stream.isatty()
        self._rows = 0

    def show(self, snapshot: Snapshot) -> None:
        """Add a row, and move the bar below it."""
        if self._tty:
            self._stream.write(_CLEAR_LINE)
        if self._rows % _HEAD_EVERY == 0:
            self._write_line(_line(_COLUMNS))
        self._rows += 1
        self._write_line(_line(_cells(snapshot)))
        if self._tty:
            self._stream.write(
                f"{progress_bar(self._scenario, snapshot.at_s)}  {phase(self._scenario, snapshot.at_s)}"
            )
        self._stream.flush()

    def close(self) -> None:
        if self._tty:
            self._stream.write(_CLEAR_LINE)
            self._stream.flush()

    def _write_line(self, line: str) -> None:
        self._stream.write(f"{line}\n")


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


def progress_bar(scenario: Scenario, at_s: float | None) -> str:
    """The whole run as a bar, with a stroke at the start of each stage."""
    total_s = horizon_s(scenario)
    done = min((at_s or 0.0) / total_s, 1.0)
    cells = ["█" if place < done * _BAR_WIDTH else "░" for place in range(_BAR_WIDTH)]
    for from_s, _ in stage_bounds_s(scenario):
        place = round(from_s / total_s * _BAR_WIDTH)
        if 0 < place < _BAR_WIDTH:
            cells[place] = "│"
    return f"{''.join(cells)} {done:4.0%}"


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


def _line(cells: tuple[str, ...]) -> str:
    return "".join(cell.rjust(12 if place == len(_COLUMNS[:3]) else 9) for place, cell in enumerate(cells))


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
