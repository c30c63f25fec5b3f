"""A against B in interleaved pairs: the ratio of B's latency to A's.

First A is measured against itself. If it differs, a difference from B means nothing, and the comparison is
refused. The order alternates from pair to pair, so that drift affects both sides alike. Both measurements of
a pair have the same seed and thus the same load. Each measurement starts a new local cloud, so that none
profits from another's warm state. ratios.py explains the interval.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from groupcast_cli.terminal import Steps, show, table
from loadtest.control.live import PhaseView, expected_s
from loadtest.control.options import DEFAULT_THRESHOLDS, add_session_arguments, token_of
from loadtest.control.runner import Session, run
from loadtest.errors import LoadTestError, ScenarioError
from loadtest.experiments.calibration import calibrated_floor
from loadtest.experiments.targets import parse_target, started
from loadtest.plan.options import add_scenario_arguments, scenario_of
from loadtest.results.ratios import AA_LIMIT, MIN_PAIRS, Pair, compared, refused, self_test
from loadtest.results.result import EXIT_CODES, NOT_MEASURED, PASS
from loadtest.results.thresholds import LEDGER, parse_threshold

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from loadtest.experiments.targets import NamedTarget
    from loadtest.plan.scenario import Scenario
    from loadtest.results.ratios import Comparison
    from loadtest.results.result import Floor
    from loadtest.results.thresholds import Threshold

DEFAULT_METRIC = "delivery_ms:p(50)"


class _NotMeasuredError(LoadTestError):
    """A run with the verdict "not measured"."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    form = "LABEL, LABEL=URL or LABEL='options of groupcast up'"
    parser.add_argument("--a", required=True, metavar="TARGET", help=form)
    parser.add_argument("--b", required=True, metavar="TARGET", help="the other target, in the same form")
    parser.add_argument(
        "--pairs",
        type=int,
        default=MIN_PAIRS,
        help="of A and B, after as many of A and A (default: %(default)s)",
    )
    parser.add_argument("--metric", default=DEFAULT_METRIC, help="(default: %(default)s)")
    parser.add_argument("--aa-limit", type=float, default=AA_LIMIT, help="of A/A (default: %(default)s)")
    add_session_arguments(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the whole comparison")
    add_scenario_arguments(parser)


async def main(options: argparse.Namespace) -> int:
    """Compare. Exit code 4 if A differs from itself or a run could not be measured."""
    scenario, metric = scenario_of(options), metric_of(options.metric)
    a, b = parse_target(options.a), parse_target(options.b)
    if options.pairs < MIN_PAIRS:
        raise ScenarioError(f"--pairs must be at least {MIN_PAIRS} for an interval")
    try:
        with Steps(sys.stderr, bar=True, kept=False, is_ticking=False) as steps:
            floor = await calibrated_floor(scenario, options.calibrate, steps=steps)
            measure = _Measure(scenario, metric, token_of(options.token_command), floor, steps)
            aa = self_test(await _pairs("A/A", a, a, options.pairs, measure), options.aa_limit)
            if aa.stable:
                found = compared(
                    a.label, b.label, options.metric, aa, await _pairs("A/B", a, b, options.pairs, measure)
                )
            else:
                found = refused(a.label, b.label, options.metric, aa, options.aa_limit)
    except _NotMeasuredError as error:
        print(f"not measured: {error}")
        return EXIT_CODES[NOT_MEASURED]
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(asdict(found), indent=2, ensure_ascii=False) + "\n")
    _print(found)
    return EXIT_CODES[PASS if aa.stable else NOT_MEASURED]


def metric_of(text: str) -> Threshold:
    """Parse a metric such as delivery_ms:p(50), as a condition that always holds. Raises ScenarioError."""
    metric = parse_threshold(f"{text}>=0")
    if metric.subject == LEDGER:
        raise ScenarioError(f"{text} is a count and has no ratio; give a metric such as {DEFAULT_METRIC}")
    return metric


def _print(found: Comparison) -> None:
    show(f"{found.metric}, {found.b} against {found.a}\n")
    heads = ("pair", "a", "b", "b / a")
    rows = [
        (str(number), f"{pair['a']:.1f}", f"{pair['b']:.1f}", f"{pair['ratio']:.2f}")
        for number, pair in enumerate(found.pairs, 1)
    ]
    show(table(*heads, right=heads, rows=rows))
    aa = found.aa
    show(f"\nA/A: {aa.median:.2f} ({aa.low:.2f} to {aa.high:.2f}), {'' if aa.stable else 'un'}stable")
    show(found.verdict)


class _Measure:
    """Runs a scenario on a target and returns the metric in ms."""

    def __init__(
        self,
        scenario: Scenario,
        metric: Threshold,
        token: str | None,
        floor: Floor | None,
        steps: Steps,
    ) -> None:
        self._scenario = scenario
        self._metric = metric
        self._token = token
        self._floor = floor
        self.steps = steps

    async def on(self, target: NamedTarget, pair: int, label: str) -> float:
        """Raises _NotMeasuredError, or LoadTestError if the run failed or lost deliveries."""
        scenario = replace(self._scenario, seed=self._scenario.seed + pair)
        thresholds = (self._metric, *map(parse_threshold, DEFAULT_THRESHOLDS))
        async with started(target, self.steps) as url:
            session = Session(url, target.label, self._token, thresholds=thresholds, floor=self._floor)
            label = f"{label}, {target.label}"
            self.steps.step(f"{label}, about {expected_s(scenario):.0f} s")
            result = await run(scenario, session, live=PhaseView(scenario, self.steps, label))
        reasons = f"{target.label}: {'; '.join(result.verdict.reasons)}"
        value = result.thresholds[0].value
        if result.verdict.status == NOT_MEASURED or not value:
            raise _NotMeasuredError(reasons)
        if result.verdict.status != PASS:
            raise LoadTestError(reasons)
        return value


async def _pairs(what: str, a: NamedTarget, b: NamedTarget, count: int, measure: _Measure) -> Sequence[Pair]:
    pairs = []
    for number in range(count):
        label = f"{what} {number + 1} of {count}"
        if number % 2:
            second = await measure.on(b, number, label)
            pair = Pair(await measure.on(a, number, label), second)
        else:
            pair = Pair(await measure.on(a, number, label), await measure.on(b, number, label))
        measure.steps.say(f"{label}: {pair.a:.1f} and {pair.b:.1f}, ratio {pair.ratio:.2f}")
        pairs.append(pair)
    return pairs
