"""The command: combinations, table, files, prices."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loadtest.cli import main
from loadtest.experiments.simulate import report
from loadtest.experiments.simulate.pricing import cost_of
from loadtest.experiments.simulate.report import Row
from loadtest.experiments.simulate.setup import Setup
from loadtest.experiments.simulate.simulation import simulate

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.experiments.simulate.simulation import Outcome

QUICK = ("simulate", "--members", "10,200", "--rate", "2", "--messages", "40")


@pytest.fixture(scope="module")
def kept_up() -> Outcome:
    return simulate(Setup(1_000, 2, messages=120))


@pytest.fixture(scope="module")
def fell_behind() -> Outcome:
    return simulate(Setup(200_000, 1, messages=300))


def test_every_combination_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(QUICK) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split()[:3] for line in lines[2:]] == [
        ["10", "2", "lanes"],
        ["200", "2", "lanes"],
        ["10", "2", "stream"],
        ["200", "2", "stream"],
    ]
    assert "4 of 4: 200 members, 2/s, stream" in printed.err


def test_files_hold_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {form: tmp_path / "deep" / f"simulated.{form}" for form in ("json", "csv", "html")}
    arguments = [part for form, path in files.items() for part in (f"--{form}", str(path))]
    assert main([*QUICK, *arguments]) == 0
    told = json.loads(files["json"].read_text())
    assert told["schema"] == report.SCHEMA
    outcomes = told["outcomes"]
    with files["csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["members"]) for row in rows] == [one["setup"]["members"] for one in outcomes]
    assert [float(row["packing"]) for row in rows] == [one["packing"] for one in outcomes]
    assert [float(row["dollars_a_month"]) for row in rows] == [
        one["cost"]["dollars_a_month"] for one in outcomes
    ]
    assert "lanes median" in files["html"].read_text()
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "means"),
    [
        (("--delivery", "pigeon"), "lanes or stream"),
        (("--members", "0"), "every cell"),
        (("--rate", "0"), "messages_per_second"),
        (("--members", ",".join(["10"] * 300)), "600 combinations"),
    ],
)
def test_an_impossible_setup_is_a_usage_error(
    wrong: tuple[str, str], means: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *wrong]) == 2
    assert means in capsys.readouterr().err


def test_an_invalid_list_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", "--members", "many"])
    assert "not a list such as" in capsys.readouterr().err


def test_a_quota_may_be_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK[:-4], "--members", "10", "--delivery", "lanes", "--quota", "none"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[3:5] == ["none", "none"]


def test_fuller_frames_cost_less_per_delivery(kept_up: Outcome) -> None:
    busy = simulate(Setup(10_000, 5, messages=120))
    quiet_cost, busy_cost = cost_of(kept_up), cost_of(busy)
    assert quiet_cost is not None
    assert busy_cost is not None
    assert busy.packing > 2 * kept_up.packing
    assert busy_cost.dollars_a_million_deliveries < quiet_cost.dollars_a_million_deliveries / 2
    seconds = Setup(10_000, 5).load.seconds
    deliveries = 5 * 10_000 * seconds / 1_000_000
    assert busy_cost.dollars_a_month == pytest.approx(busy_cost.dollars_a_million_deliveries * deliveries)


def test_a_setup_that_falls_behind_has_neither_times_nor_price(fell_behind: Outcome) -> None:
    assert cost_of(fell_behind) is None
    shown = dict(zip(report.HEAD, report.cells(Row(fell_behind, None)), strict=True))
    assert (shown["p50"], shown["p99"]) == ("falls", "behind")
    assert shown["$/month"] == report.UNKNOWN
    assert report.curves([Row(fell_behind, None)]) == []


def test_curves_are_labelled_by_their_differences(kept_up: Outcome) -> None:
    quota = simulate(Setup(1_000, 2, messages=120, quota_per_second=20_000))
    assert [size.label for size in report.curves([Row(kept_up, None), Row(quota, None)])] == [
        "quota 10k",
        "quota 20k",
    ]


def test_given_up_deliveries_are_reported(fell_behind: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    lost = replace(fell_behind, given_up=1_234)
    report.show_all([Row(lost, None)])
    assert "1,234 deliveries were given up" in capsys.readouterr().out
