"""The live table on a terminal and in a file."""

from __future__ import annotations

import io

import pytest

from loadtest.control.live import LiveView, Snapshot, phase, progress_bar
from loadtest.plan.scenario import Scenario, Stage

SCENARIO = Scenario(warmup_s=2, stages=(Stage(10, 200), Stage(28, 1000)))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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


def test_the_bar_shows_stages_and_progress() -> None:
    """Half of 40 s is half of the bar, with strokes at 2 s and 12 s."""
    bar = progress_bar(SCENARIO, 20.0)
    assert bar.endswith(" 50%")
    assert bar[:40].count("│") == 2
    assert (bar[2], bar[12]) == ("│", "│")
    assert bar[13:20] == "█" * 7
    assert bar[20:40] == "░" * 20
    assert progress_bar(SCENARIO, None).endswith("   0%")
    assert progress_bar(SCENARIO, 99.0).endswith(" 100%")


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


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end() -> None:
    """Each new row replaces the bar and stays."""
    stream = Terminal()
    view = LiveView(SCENARIO, stream)
    view.show(moment(4.2))
    assert stream.getvalue().splitlines()[-1].endswith("stage 1 of 2, 200 users, 8 s left")
    view.show(moment(6.2))
    view.close()
    shown = [line.rpartition("\x1b[2K")[2] for line in stream.getvalue().split("\n")]
    assert [line.split()[:2] for line in shown if line] == [["time", "users"], ["4", "s"], ["6", "s"]]
