"""Measurements in pairs, their ratios, and what the benchmark's table says of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Measured = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bench:
    """How often each pair is measured; `say` shows progress."""

    pairs: int
    say: Callable[[str], None]

    def alternate(
        self, ours: Callable[[], Measured], theirs: Callable[[], Measured]
    ) -> Iterator[tuple[Measured, Measured]]:
        """Pairs of measurements, the order turned round each time."""
        for number in range(self.pairs):
            self.say(f"pair {number + 1} of {self.pairs}")
            if number % 2:
                second = theirs()
                yield ours(), second
            else:
                yield ours(), theirs()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ratio` is the pairs' median, `low` and `high` their extremes.

    `at_most` says that the target is a ceiling; otherwise the ratio has to reach it.
    """

    name: str
    ratio: float
    low: float
    high: float
    pairs: int
    target: float
    at_most: bool = False
    unit: str = "x"
    detail: str = ""

    @property
    def met(self) -> bool:
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ratio": round(self.ratio, 3),
            "target": self.target,
            "at_most": self.at_most,
            "met": self.met,
            "low": round(self.low, 3),
            "high": round(self.high, 3),
            "pairs": self.pairs,
            "unit": self.unit,
            "detail": self.detail,
        }


def row_of(name: str, ratios: Sequence[float], target: float, **more: Any) -> Row:
    """A row from the ratios of all pairs."""
    return Row(name, statistics.median(ratios), min(ratios), max(ratios), len(ratios), target, **more)


def as_table(rows: Sequence[Row]) -> str:
    """The rows as text, aligned, for people."""
    head = ("what", "ratio", "spread", "target", "met", "pairs", "")
    body = [
        (
            row.name,
            f"{row.ratio:.2f} {row.unit}",
            f"{row.low:.2f} to {row.high:.2f}",
            f"{'≤' if row.at_most else '≥'} {row.target:g}",
            "yes" if row.met else "NO",
            str(row.pairs),
            row.detail,
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, tuple("-" * width for width in widths), *body)
    )
    return "\n".join(lines)
