"""Measurements in pairs, their ratios, and the table of the benchmark."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from groupcast_cli.terminal import table
from loadtest.errors import LoadTestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from rich.table import Table

Measured = dict[str, Any]
T = TypeVar("T")

# An invalid round is repeated this often at most.
REPEATS_MAX = 2


class NoRatioError(LoadTestError):
    """A row has no ratio, for this reason."""


class NotMeasuredError(NoRatioError):
    """The harness was too slow, so the measurement says nothing about the system."""

    def __str__(self) -> str:
        return f"not measured: {super().__str__()}"


class BrokenError(NoRatioError):
    """The system failed, for example lost deliveries; its ratio does not matter then."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The number of pairs of each row; `say` shows progress."""

    pairs: int
    say: Callable[[str], None]

    def alternate(
        self, ours: Callable[[], Measured], theirs: Callable[[], Measured]
    ) -> Iterator[tuple[Measured, Measured]]:
        """Yield pairs of measurements, in alternating order."""
        for number in range(self.pairs):
            self.say(f"pair {number + 1} of {self.pairs}")
            if number % 2:
                second = theirs()
                yield ours(), second
            else:
                yield ours(), theirs()

    async def rounds(
        self, what: str, *measures: Callable[[int], Awaitable[T]], at_most: int | None = None
    ) -> list[tuple[T, ...]]:
        """Run all measures once a round, in alternating order; return their results in the given order.

        Each measure gets the number of the round, to derive a common seed. A round is repeated as a whole if
        the harness was too slow. Raises NotMeasuredError if that does not help, and errors of measures.
        """
        count = self.pairs if at_most is None else min(self.pairs, at_most)
        rounds = []
        for number in range(count):
            for repeat in range(REPEATS_MAX + 1):
                self.say(f"{what}: {number + 1} of {count}{', again' if repeat else ''}")
                try:
                    rounds.append(await _round(number, measures))
                    break
                except NotMeasuredError as error:
                    self.say(str(error))
                    if repeat == REPEATS_MAX:
                        raise
        return rounds


async def _round(number: int, measures: Sequence[Callable[[int], Awaitable[T]]]) -> tuple[T, ...]:
    order = list(enumerate(measures))
    if number % 2:
        order.reverse()
    found = {place: await measure(number) for place, measure in order}
    return tuple(found[place] for place in range(len(measures)))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ratio` is the median of all pairs, `low` and `high` are their extremes.

    `at_most` makes the target a ceiling instead of a minimum. A row without a ratio (None) misses its
    target, and `detail` has the reason; `measured` is False if the harness was too slow.
    """

    name: str
    ratio: float | None
    low: float
    high: float
    pairs: int
    target: float | None
    at_most: bool = False
    unit: str = "x"
    detail: str = ""
    measured: bool = True

    @property
    def met(self) -> bool:
        if self.ratio is None or self.target is None:
            return False
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "target": self.target,
            "at_most": self.at_most,
            "met": self.met,
            "measured": self.measured,
            "low": round(self.low, 3),
            "high": round(self.high, 3),
            "pairs": self.pairs,
            "unit": self.unit,
            "detail": self.detail,
        }


def row_of(name: str, ratios: Sequence[float], target: float, **more: Any) -> Row:
    """Make a row from the ratios of all pairs."""
    return Row(name, statistics.median(ratios), min(ratios), max(ratios), len(ratios), target, **more)


def worst_of(name: str, values: Sequence[float], target: float, **more: Any) -> Row:
    """Make a row whose ratio is the largest value, for events that no pair may have."""
    return Row(name, max(values), min(values), max(values), len(values), target, at_most=True, **more)


def without_ratio(name: str, error: NoRatioError) -> Row:
    """Make a row without a ratio, with the reason."""
    measured = not isinstance(error, NotMeasuredError)
    return Row(name, None, 0.0, 0.0, 0, None, detail=str(error), measured=measured)


def as_table(rows: Sequence[Row]) -> Table:
    """The rows as a table for a terminal."""
    cells = [
        (
            row.name,
            "-" if row.ratio is None else f"{row.ratio:.2f} {row.unit}",
            "-" if row.ratio is None else f"{row.low:.2f} to {row.high:.2f}",
            "-" if row.target is None else f"{'≤' if row.at_most else '≥'} {row.target:g}",
            "yes" if row.met else "NO" if row.measured else "-",
            str(row.pairs),
            row.detail,
        )
        for row in rows
    ]
    return table("what", "ratio", "spread", "target", "met", "pairs", "values", rows=cells)
