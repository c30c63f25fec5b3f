"""The live table on a terminal and in a file."""

from __future__ import annotations

import io
from typing import TextIO

import pytest

from groupcast_cli.terminal import Steps
from loadtest.control.live import LiveView, PhaseView, Snapshot, expected_s, phase
from loadtest.plan.scenario import Scenario, Stage
from tests.unit.streams import in_pipe, in_terminal, screen, without_codes

SCENARIO = Scenario(warmup_s=2, stages=(Stage(10, 200), Stage(28, 1000)))


def moment(at_s: float | None) -> Snapshot:
    return Snapshot(
        at_s=at_s, users=1000, sent=12, delivered=12_000, p50=20.04, p99=None, max=80.0, lost=3, lag_ms=0.5
    )


@pytest.mark.parametrize(
    ("at_s", "says"),
    [
        (None, "connecting 200 users"),
        (1.0, "warming up"),
        (2.0, "stage 1 of 2, 200 users, 10 s left"),
        (30.0, "stage 2 of 2, 1000 users, 10 s left"),
        (41.0, "draining"),
    ],
)
def test_the_phase_is_described(at_s: float | None, says: str) -> None:
    """With its remaining time."""
    assert phase(SCENARIO, at_s) == says


def test_a_file_gets_plain_lines() -> None:
    """A header and rows, without cursor movements."""
    stream = io.StringIO()
    view = LiveView(SCENARIO, stream)
    view.show(moment(None))
    view.show(moment(4.2))
    view.close()
    head, connecting, running = stream.getvalue().splitlines()
    assert head.split()[:4] == ["time", "users", "sent", "delivered"]
    assert connecting.split()[:2] == ["connect", "1,000"]
    assert running.split() == ["4", "s", "1,000", "12", "12,000", "20.0", "-", "80.0", "3", "0.5"]
    assert len(head) == len(connecting) == len(running)
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_terminal_gets_a_bar_that_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Each new row replaces the bar and stays."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(stream: TextIO) -> None:
        view = LiveView(SCENARIO, stream)
        view.show(moment(4.2))
        view.show(moment(22.0))
        view.close()

    shown = in_terminal(run)
    if width >= 80:
        assert "stage 2 of 2, 1000 users, 18 s left" in without_codes(shown)
    assert "55%" in shown
    rows = screen(shown)
    assert max(map(len, rows)) <= 80
    assert [line.split()[:2] for line in rows] == [["time", "users"], ["4", "s"], ["22", "s"]]


def test_a_bar_without_a_table_is_for_terminals_alone() -> None:
    """A step that is measured; a file gets the line of its begin."""

    def run(stream: TextIO) -> None:
        with Steps(stream, bar=True, is_ticking=False) as steps:
            steps.step(f"calibrating, about {expected_s(SCENARIO):.0f} s")
            PhaseView(SCENARIO, steps, "calibrating").show(moment(4.2))

    assert in_pipe(run) == "calibrating, about 47 s …\n"
