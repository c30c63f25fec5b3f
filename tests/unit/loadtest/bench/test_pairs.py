"""Pairs are measured alternately, and again if the harness failed; rows report the outcome."""

from __future__ import annotations

import pytest

from groupcast_cli.terminal import show
from loadtest.bench.pairs import (
    REPEATS_MAX,
    Bench,
    BrokenError,
    NotMeasuredError,
    Row,
    as_table,
    row_of,
    without_ratio,
    worst_of,
)


class Side:
    """A measurement that fails a given number of times, and records the order of all."""

    def __init__(self, name: str, order: list[str], failures: int = 0) -> None:
        self.name = name
        self.order = order
        self.failures = failures

    async def __call__(self, number: int) -> str:
        self.order.append(f"{self.name}{number}")
        if self.failures:
            self.failures -= 1
            raise NotMeasuredError("late")
        return f"{self.name}{number}"


def bench(pairs: int) -> tuple[Bench, list[str]]:
    said: list[str] = []
    return Bench(pairs, said.append), said


async def test_the_order_alternates_with_each_round() -> None:
    """Drift affects both sides; results still come in the order of the measures."""
    order: list[str] = []
    rounds = await bench(2)[0].rounds("x", Side("a", order), Side("b", order), Side("c", order))
    assert order == ["a0", "b0", "c0", "c1", "b1", "a1"]
    assert rounds == [("a0", "b0", "c0"), ("a1", "b1", "c1")]


async def test_a_round_without_a_measurement_is_repeated_as_a_whole() -> None:
    """Its sides belong together; at most REPEATS_MAX times."""
    order: list[str] = []
    quiet, said = bench(1)
    rounds = await quiet.rounds("x", Side("a", order), Side("b", order, failures=REPEATS_MAX))
    assert (rounds, order) == ([("a0", "b0")], ["a0", "b0"] * (REPEATS_MAX + 1))
    assert said.count("not measured: late") == REPEATS_MAX
    with pytest.raises(NotMeasuredError):
        await quiet.rounds("x", Side("a", order, failures=REPEATS_MAX + 1))


async def test_rows_that_take_long_have_fewer_rounds() -> None:
    """`at_most` limits them, but never adds rounds."""
    order: list[str] = []
    for pairs, at_most in ((5, 2), (2, 5)):
        assert len(await bench(pairs)[0].rounds("x", Side("a", order), at_most=at_most)) == 2


def test_a_row_without_a_ratio_is_never_met(capsys: pytest.CaptureFixture[str]) -> None:
    """A slow harness is distinguished from a failing system."""
    slow, broken = (
        without_ratio("x", NotMeasuredError("late")),
        without_ratio("x", BrokenError("3 were lost")),
    )
    assert (slow.met, slow.measured, slow.as_json()["ratio"]) == (False, False, None)
    assert (broken.met, broken.measured) == (False, True)
    show(as_table([slow, broken]))
    table = capsys.readouterr().out
    assert "not measured: late" in table
    assert "3 were lost" in table


def test_forbidden_events_are_judged_by_the_worst_pair() -> None:
    """A median would hide one pair in three."""
    assert not worst_of("x", [0, 0, 1], 0).met
    assert row_of("x", [0, 0, 1], 0, at_most=True).met
    assert worst_of("x", [0.2, 0.9], 1).ratio == 0.9


def test_targets_are_floors_or_ceilings(capsys: pytest.CaptureFixture[str]) -> None:
    """≥ unless the row says otherwise."""
    row = Row("x", 2.0, 1.0, 3.0, 3, 2.5)
    assert not row.met
    assert Row("x", 2.0, 1.0, 3.0, 3, 2.5, at_most=True).met
    show(as_table([row]))
    assert "≥ 2.5" in capsys.readouterr().out
