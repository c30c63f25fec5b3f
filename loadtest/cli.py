"""`python -m loadtest`: the commands run, calibrate, capacity, compare, report and simulate."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from groupcast_cli.terminal import Steps, refreshed
from loadtest import report
from loadtest.control.live import LiveView
from loadtest.control.localstack import local_stack
from loadtest.control.options import DEFAULT_THRESHOLDS, add_session_arguments, thresholds_of, token_of
from loadtest.control.runner import Session, run, without_query
from loadtest.errors import LoadTestError, ScenarioError
from loadtest.experiments import capacity, compare, simulate
from loadtest.experiments.calibration import calibrate, calibrated_floor
from loadtest.plan.options import add_scenario_arguments, scenario_of, words
from loadtest.report.summary import calibration_text, summary_text
from loadtest.results.result import ERROR, EXIT_CODES, INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from loadtest.control.localstack import LocalStack
    from loadtest.results.result import Result

USAGE = 2
_EXITS = (
    "Exit codes: 0 pass, 1 run error, 2 usage, 3 threshold failed, 4 not measured (the harness was the "
    "bottleneck), 130 interrupted."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; see `--help`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(arguments)
    options.command_line = arguments
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return int(runner.run(options.main(options)))
    except ScenarioError as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return USAGE
    except LoadTestError as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return EXIT_CODES[ERROR]
    except (KeyboardInterrupt, asyncio.CancelledError):
        return EXIT_CODES[INTERRUPTED]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest",
        description="Measures how late the last delivery is, and whether you can believe it.",
        epilog=_EXITS,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    running = commands.add_parser("run", help="put a load on a chat and measure its deliveries")
    _add_run_arguments(running)
    running.set_defaults(main=_run)
    calibrating = commands.add_parser("calibrate", help="measure the latency of the harness itself")
    add_scenario_arguments(calibrating)
    calibrating.add_argument("--json", type=Path, metavar="FILE", help="file for the result")
    calibrating.set_defaults(main=_calibrate)
    for name, module, help_text in (
        ("capacity", capacity, "raise the rate until an objective breaks"),
        ("compare", compare, "compare two targets in pairs"),
        ("report", report, "write reports of saved results"),
        ("simulate", simulate, "simulate deliveries to groups of up to a million members"),
    ):
        command = commands.add_parser(name, help=help_text)
        module.add_arguments(command)
        command.set_defaults(main=module.main)
    return parser


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", nargs="?", help="ws:// or wss://; without it, a local cloud for this run")
    add_scenario_arguments(parser)
    parser.add_argument("--label", default="groupcast", help="the target's name (default: %(default)s)")
    add_session_arguments(parser)
    conditions = parser.add_argument_group("conditions, such as 'delivery_ms:p(99)<250' or 'ledger:lost==0'")
    default = " ".join(DEFAULT_THRESHOLDS)
    for flag, help_text in (
        ("--threshold", f"must hold at the end, else exit 3; more than once (default: {default})"),
        ("--abort-on", "must hold all the time, else the run ends early with exit 3; more than once"),
    ):
        conditions.add_argument(flag, action="append", metavar="CONDITION", help=help_text)
    reports = parser.add_argument_group("reports")
    for form, help_text in (
        ("json", "the whole result"),
        ("csv", "a line a second"),
        ("html", "a report with charts"),
        ("png", "a picture of that report (needs Chromium and --html)"),
    ):
        reports.add_argument(f"--{form}", type=Path, metavar="FILE", help=help_text)
    reports.add_argument("--headless", action="store_true", help="no progress and no live table")
    local = parser.add_argument_group("local cloud")
    local.add_argument(
        "--poll-interval-s", type=float, metavar="S", help="between polls of the stream (default: as on AWS)"
    )
    local.add_argument(
        "--up",
        type=words,
        default=(),
        metavar="OPTIONS",
        help="options of `groupcast up`, such as --up='--hops aws'",
    )
    local.add_argument("--timeline", type=Path, metavar="FILE", help="written by the `groupcast up` at URL")


async def _run(options: argparse.Namespace) -> int:
    scenario = scenario_of(options)
    thresholds, abort_on = thresholds_of(options)
    if options.png and not options.html:
        raise ScenarioError("--png needs --html: it is a picture of that report")
    stop = _stop_on_interrupt()
    session = Session(
        options.url or "",
        options.label,
        token_of(options.token_command),
        thresholds=thresholds,
        abort_on=abort_on,
        timeline=options.timeline,
        command=_recorded(options),
        stop=stop,
    )
    async with AsyncExitStack() as stack:
        with ExitStack() as shown:
            steps = None if options.headless else shown.enter_context(_steps())
            floor = await calibrated_floor(scenario, options.calibrate, stop, steps)
            session = replace(session, floor=floor)
            if stop.is_set():
                return EXIT_CODES[INTERRUPTED]
            if options.url is None:
                opened = local_stack(poll_interval_s=options.poll_interval_s, arguments=options.up)
                cloud = await _opened(stack, opened, steps)
                session = replace(session, url=cloud.gateway_url, timeline=cloud.timeline)
        result = await run(
            scenario, session, live=None if options.headless else LiveView(scenario, sys.stderr)
        )
    _write(result, options)
    print(summary_text(result))
    return result.verdict.exit_code


async def _calibrate(options: argparse.Namespace) -> int:
    scenario = scenario_of(options)
    with _steps() as steps:
        result = await calibrate(scenario, scenario.duration_s, _stop_on_interrupt(), steps)
    if options.json:
        _write_bytes(options.json, result.to_json())
    print(calibration_text(result))
    return EXIT_CODES[INTERRUPTED] if result.verdict.status == INTERRUPTED else 0


def _recorded(options: argparse.Namespace) -> list[str]:
    """The command line without possible secrets."""
    kept = options.command_line
    if options.url is not None:
        kept = [without_query(part) if part == options.url else part for part in kept]
    if options.token_command:
        kept = [part.replace(options.token_command, "…") for part in kept]
    return list(kept)


def _stop_on_interrupt() -> asyncio.Event:
    """Return an event that the first Ctrl-C sets; the second one cancels everything."""
    stop = asyncio.Event()
    task = asyncio.current_task()
    assert task is not None

    def interrupted() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted)
    return stop


def _steps() -> Steps:
    """Steps on stderr that no thread redraws: it would disturb the measurement."""
    return Steps(sys.stderr, bar=True, kept=False, is_ticking=False)


async def _opened(
    stack: AsyncExitStack, cloud: AbstractAsyncContextManager[LocalStack], steps: Steps | None
) -> LocalStack:
    if steps is None:
        return await stack.enter_async_context(cloud)
    steps.step("starting a local cloud")
    async with refreshed(steps):
        return await stack.enter_async_context(cloud)


def _write(result: Result, options: argparse.Namespace) -> None:
    if options.json:
        _write_bytes(options.json, result.to_json())
    if options.csv:
        report.write_csv(result, options.csv)
    if options.html:
        report.write_html(result, options.html)
    if options.png:
        try:
            report.write_png(options.html, options.png)
        except LoadTestError as error:
            # The run is valid without a picture.
            print(f"loadtest: {error}", file=sys.stderr)


def _write_bytes(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
