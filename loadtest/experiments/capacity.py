"""The capacity of a target: raises the message rate step by step until an objective breaks."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from groupcast_cli.terminal import Steps, row
from loadtest.control.live import PhaseView, expected_s
from loadtest.control.options import add_session_arguments, thresholds_of, token_of
from loadtest.control.runner import Session, run
from loadtest.errors import LoadTestError, ScenarioError
from loadtest.experiments.calibration import calibrated_floor
from loadtest.experiments.targets import NamedTarget, started
from loadtest.plan.options import add_scenario_arguments, scenario_of
from loadtest.results.result import ERROR, EXIT_CODES, INTERRUPTED, NOT_MEASURED, PASS, THRESHOLD_FAILED

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from loadtest.plan.scenario import Scenario
    from loadtest.results.result import Result, ThresholdOutcome

SCHEMA = 1
START_RATE = 1.0
FACTOR = 1.5
MAX_STEPS = 12
_HEAD = ("messages/s", "deliveries/s", "delivery p50", "delivery p99", "last p99", "lost", "verdict")
_WIDTHS = (10, 12, 12, 12, 10, 5, 16)


@dataclass(frozen=True, slots=True)
class Step:
    """The run at one rate (messages a second over all groups). Times are ms, None with too few samples."""

    rate: float
    status: str
    reasons: tuple[str, ...]
    thresholds: tuple[ThresholdOutcome, ...]
    deliveries_per_s: float
    delivery_ms_p50: float | None
    delivery_ms_p99: float | None
    group_complete_ms_p99: float | None
    lost: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """The JSON of `capacity`. `highest_rate` is the highest that met all objectives, None if none did."""

    steps: tuple[Step, ...]
    highest_rate: float | None
    verdict: str
    exit_code: int
    schema: int = SCHEMA


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", nargs="?", help="ws:// or wss://; without it, a local cloud")
    parser.add_argument("--threshold", action="append", metavar="CONDITION", help="an objective; required")
    parser.add_argument("--start", type=float, default=START_RATE, help="first rate (default: %(default)g)")
    parser.add_argument("--factor", type=float, default=FACTOR, help="between steps (default: %(default)s)")
    parser.add_argument("--max-steps", type=int, default=MAX_STEPS, help="(default: %(default)s)")
    add_session_arguments(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for all steps")
    add_scenario_arguments(parser)
    parser.set_defaults(abort_on=None)


async def main(options: argparse.Namespace) -> int:
    """Raise the rate. Exit code 0 if a rate held; else that of the first run: 3 or 4."""
    rates = rates_of(options.start, options.factor, options.max_steps)
    scenario = scenario_of(options)
    if not options.threshold:
        raise ScenarioError("capacity needs an objective, such as --threshold 'delivery_ms:p(99)<250'")
    thresholds, abort_on = thresholds_of(options)
    token = token_of(options.token_command)
    steps: list[Step] = []
    progress = Steps(sys.stderr, bar=True, kept=False, is_ticking=False)
    try:
        with progress:
            floor = await calibrated_floor(scenario, options.calibrate, steps=progress)
            async with started(NamedTarget("groupcast", options.url), progress) as url:
                session = Session(url, token=token, thresholds=thresholds, abort_on=abort_on, floor=floor)
                await _climb(rates, scenario, session, steps, progress)
    finally:
        # After Ctrl-C, report the completed steps.
        if steps:
            _report(judged(steps, options.max_steps), options.json)
    if steps[-1].status in (ERROR, INTERRUPTED):
        raise LoadTestError("; ".join(steps[-1].reasons))
    return judged(steps, options.max_steps).exit_code


async def _climb(
    rates: Sequence[float], scenario: Scenario, session: Session, steps: list[Step], progress: Steps
) -> None:
    progress.say(row(_HEAD, _WIDTHS))
    for number, rate in enumerate(rates, 1):
        label = f"at most {len(rates)} steps, {number}: {rate:g} messages a second"
        progress.step(f"{label}, about {expected_s(scenario):.0f} s")
        live = PhaseView(scenario, progress, label)
        steps.append(step_of(await run(replace(scenario, rate=rate), session, live=live)))
        progress.say(row(_cells(steps[-1]), _WIDTHS))
        if steps[-1].status != PASS:
            return


def _report(found: Capacity, path: Path | None) -> None:
    print(f"\n{found.verdict}", flush=True)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(found), indent=2, ensure_ascii=False) + "\n")


def rates_of(start: float, factor: float, max_steps: int) -> list[float]:
    """The rates to try. Raises ScenarioError if they would not rise."""
    if start <= 0 or factor <= 1 or max_steps < 1:
        raise ScenarioError("--start must be more than 0, --factor more than 1, and --max-steps at least 1")
    return [round(start * factor**step, 3) for step in range(max_steps)]


def step_of(result: Result) -> Step:
    """The step in a run's result."""
    metrics, seconds = result.metrics, len(result.series) or 1
    return Step(
        rate=result.scenario.rate,
        status=result.verdict.status,
        reasons=result.verdict.reasons,
        thresholds=result.thresholds,
        deliveries_per_s=round(sum(second.delivered for second in result.series) / seconds, 1),
        delivery_ms_p50=metrics.delivery_ms.p50,
        delivery_ms_p99=metrics.delivery_ms.p99,
        group_complete_ms_p99=metrics.group_complete_ms.p99,
        lost=result.ledger.lost,
    )


def judged(steps: Sequence[Step], max_steps: int) -> Capacity:
    """The highest rate that held, and the reason why no higher one did."""
    held = [step.rate for step in steps if step.status == PASS]
    highest = max(held, default=None)
    last = steps[-1] if steps else None
    if highest is None:
        status = last.status if last and last.status in (THRESHOLD_FAILED, NOT_MEASURED) else ERROR
        reasons = f": {'; '.join(last.reasons)}" if last else ""
        return Capacity(tuple(steps), None, f"no rate held{reasons}", EXIT_CODES[status])
    assert last is not None
    verdict = f"{highest:g} messages a second held"
    if last.status == PASS:
        more = "all steps held" if len(steps) == max_steps else "the next step was not run"
    else:
        more = f"{last.rate:g} did not ({last.status}: {'; '.join(last.reasons)})"
    if last.status == NOT_MEASURED:
        more += "; the harness is the limit there, and the service may carry more"
    return Capacity(tuple(steps), highest, f"{verdict}; {more}", EXIT_CODES[PASS])


def _cells(step: Step) -> tuple[str, ...]:
    times = (step.delivery_ms_p50, step.delivery_ms_p99, step.group_complete_ms_p99)
    return (
        f"{step.rate:g}",
        f"{step.deliveries_per_s:,.0f}",
        *("too few" if value is None else f"{value:.1f} ms" for value in times),
        str(step.lost),
        step.status,
    )
