"""Stepping up: the tried rates, the end, and the report."""

from __future__ import annotations

import argparse
import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loadtest.errors import LoadTestError, ScenarioError
from loadtest.experiments import capacity
from loadtest.experiments.targets import NamedTarget
from loadtest.results.result import EXIT_CODES, Result, Verdict
from tests.unit.loadtest import made_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from groupcast_cli.terminal import Steps
    from loadtest.control.live import View
    from loadtest.control.runner import Session
    from loadtest.plan.scenario import Scenario


class Service:
    """Replaces cloud and run: holds up to a rate, and ends in another status above it."""

    def __init__(self, holds_up_to: float, then: str) -> None:
        self.holds_up_to = holds_up_to
        self.then = then
        self.rates: list[float] = []
        self.urls: list[str] = []
        self.starts = 0
        self.running = False

    @asynccontextmanager
    async def started(self, target: NamedTarget, _: Steps) -> AsyncIterator[str]:
        self.starts += 1
        self.running = True
        yield target.url or "ws://local"
        self.running = False

    async def run(self, scenario: Scenario, session: Session, *, live: View) -> Result:
        assert self.running
        live.close()
        self.rates.append(scenario.rate)
        self.urls.append(session.url)
        status = "pass" if scenario.rate <= self.holds_up_to else self.then
        if status == "cancelled":
            raise asyncio.CancelledError
        whole = made_up.result(seconds=3)
        reasons = () if status == "pass" else (f"too much at {scenario.rate:g}",)
        verdict = Verdict(status, EXIT_CODES[status], reasons)
        return replace(whole, scenario=scenario, verdict=verdict)


def service(monkeypatch: pytest.MonkeyPatch, holds_up_to: float, then: str = "threshold failed") -> Service:
    made = Service(holds_up_to, then)
    monkeypatch.setattr(capacity, "started", made.started)
    monkeypatch.setattr(capacity, "run", made.run)
    return made


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    capacity.add_arguments(parser)
    given = ["--calibrate", "0", "--threshold", "delivery_ms:p(99)<250", "--start", "2", "--factor", "2"]
    return parser.parse_args([*given, *arguments])


async def test_the_rate_goes_up_until_an_objective_breaks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each step is a line, all on one cloud; the answer, also in the JSON, is the last rate that held."""
    held = service(monkeypatch, holds_up_to=9)
    path = tmp_path / "new" / "capacity.json"
    assert await capacity.main(parsed("--json", str(path))) == 0
    assert held.rates == [2, 4, 8, 16]
    assert held.starts == 1
    printed = capsys.readouterr().out.splitlines()
    assert len([line for line in printed if line.endswith(" pass")]) == 3
    assert printed[-1] == "8 messages a second held; 16 did not (threshold failed: too much at 16)"
    written = json.loads(path.read_text())
    assert (written["schema"], written["highest_rate"], written["verdict"]) == (1, 8, printed[-1])
    assert [step["rate"] for step in written["steps"]] == [2, 4, 8, 16]


async def test_where_the_harness_gives_up_the_answer_is_a_lower_bound(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step that is not measured also ends the search, and the verdict does not blame the service."""
    service(monkeypatch, holds_up_to=4, then="not measured")
    assert await capacity.main(parsed()) == 0
    assert "4 messages a second held" in (said := capsys.readouterr().out)
    assert "the harness is the limit there, and the service may carry more" in said


@pytest.mark.parametrize("then", ["threshold failed", "not measured"])
async def test_where_not_even_the_first_rate_holds_its_verdict_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], then: str
) -> None:
    """Without a highest rate: 3 if an objective broke, 4 if nothing was measured."""
    held = service(monkeypatch, holds_up_to=1, then=then)
    assert await capacity.main(parsed()) == EXIT_CODES[then]
    assert held.rates == [2]
    assert "no rate held: too much at 2" in capsys.readouterr().out


async def test_the_number_of_steps_is_limited(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report says so."""
    held = service(monkeypatch, holds_up_to=1e9)
    assert await capacity.main(parsed("--max-steps", "3", "ws://127.0.0.1:9")) == 0
    assert held.rates == [2, 4, 8]
    assert set(held.urls) == {"ws://127.0.0.1:9"}
    assert "8 messages a second held; all steps held" in capsys.readouterr().out


async def test_a_failed_run_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Users that cannot join say nothing about capacity; completed steps are still reported."""
    service(monkeypatch, holds_up_to=4, then="error")
    with pytest.raises(LoadTestError, match="too much at 8"):
        await capacity.main(parsed())
    assert "4 messages a second held" in capsys.readouterr().out


async def test_an_interrupted_search_reports_completed_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in the third step: the first two give the answer."""
    service(monkeypatch, holds_up_to=4, then="cancelled")
    with pytest.raises(asyncio.CancelledError):
        await capacity.main(parsed())
    assert "4 messages a second held; the next step was not run" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [("--start", "0"), ("--factor", "1"), ("--max-steps", "0"), ("--threshold", "fast")]
)
async def test_non_increasing_rates_are_refused(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """So is an invalid objective, before anything starts."""
    held = service(monkeypatch, holds_up_to=4)
    with pytest.raises(ScenarioError):
        await capacity.main(parsed(*arguments))
    assert held.starts == 0


async def test_an_objective_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    service(monkeypatch, holds_up_to=4)
    options = parsed()
    options.threshold = None
    with pytest.raises(ScenarioError, match="needs an objective"):
        await capacity.main(options)
