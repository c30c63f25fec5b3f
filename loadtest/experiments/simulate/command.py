"""`python -m loadtest simulate`: simulates setups from options, and writes a table and files."""

from __future__ import annotations

import argparse
import itertools
import math
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from groupcast_cli.terminal import Steps
from loadtest.errors import ScenarioError
from loadtest.experiments.simulate import report
from loadtest.experiments.simulate.delays import AWS, PROFILES
from loadtest.experiments.simulate.pricing import cost_of
from loadtest.experiments.simulate.report import Row
from loadtest.experiments.simulate.setup import DELIVERIES, Setup
from loadtest.experiments.simulate.simulation import simulate
from loadtest.report.png import write_png

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

MEMBERS = (1_000, 10_000, 100_000, 1_000_000)
SETUPS_MAX = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    default = Setup(1, 1)
    many = parser.add_argument_group("lists separated by commas; all combinations are simulated")
    help_text = "of the group (default: 1000 to 1000000)"
    many.add_argument("--members", type=_many(int), default=MEMBERS, help=help_text)
    many.add_argument("--rate", type=_many(float), default=(1.0,), help="messages a second (default: 1)")
    many.add_argument(
        "--delivery", type=_many(str), default=DELIVERIES, help=f"(default: {','.join(DELIVERIES)})"
    )
    many.add_argument(
        "--quota",
        type=_many(_quota),
        default=(default.quota_per_second,),
        help="requests a second of an account, or none (default: 10000)",
    )
    many.add_argument(
        "--cells", type=_many(int), default=(1,), help="accounts that share the group (default: 1)"
    )
    one = parser.add_argument_group("single values")
    budget = "posts a second of all workers of an account; 0: no budget (default: 70 %% of the quota)"
    one.add_argument("--posts-per-second", type=float, help=budget)
    one.add_argument("--post-burst", type=float, help="(default: half of it)")
    for name, value, help_text in (
        ("workers", default.workers, "lanes served at the same time"),
        ("members-per-lane", default.members_per_lane, "members of a lane; larger groups have several"),
        ("message-bytes", default.message_bytes, "size of a message's text"),
        ("seed", default.seed, "seed of the simulation"),
    ):
        one.add_argument(f"--{name}", type=int, default=value, help=f"{help_text} (default: {value})")
    help_text = f"seconds of the fan-out functions (default: {default.timeout_s:g})"
    one.add_argument("--timeout", type=float, default=default.timeout_s, help=help_text)
    one.add_argument("--hops", choices=tuple(PROFILES), default=AWS, help="(default: %(default)s)")
    one.add_argument("--messages", type=int, help="measured messages (default: as many as percentiles need)")
    files = parser.add_argument_group("reports")
    for form, help_text in (
        ("json", "all outcomes"),
        ("csv", "a line for each setup"),
        ("html", "curves and the table"),
        ("png", "a picture of that page (needs Chromium)"),
    ):
        files.add_argument(f"--{form}", type=Path, metavar="FILE", help=help_text)


async def main(options: argparse.Namespace) -> int:
    """Simulate every combination, and report. Raises ScenarioError."""
    # This task never awaits, so Ctrl-C must raise instead of cancelling it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    setups = list(setups_of(options))
    if len(setups) > SETUPS_MAX:
        raise ScenarioError(f"{len(setups)} combinations are more than {SETUPS_MAX}")
    rows = []
    with Steps(sys.stderr, of=len(setups), bar=True, kept=False) as steps:
        for setup in setups:
            steps.step(_described(setup), 1)
            outcome = simulate(setup, steps.advance)
            rows.append(Row(outcome, cost_of(outcome)))
    _write(rows, options)
    report.show_all(rows)
    return 0


def setups_of(options: argparse.Namespace) -> Iterator[Setup]:
    """All combinations of the lists."""
    combined = itertools.product(
        options.delivery, options.cells, options.quota, options.rate, options.members
    )
    for delivery, cells, quota, rate, members in combined:
        yield Setup(
            members,
            rate,
            delivery=delivery,
            quota_per_second=quota,
            posts_per_second=options.posts_per_second,
            post_burst=options.post_burst,
            cells=cells,
            workers=options.workers,
            members_per_lane=options.members_per_lane,
            timeout_s=options.timeout,
            message_bytes=options.message_bytes,
            hops=options.hops,
            messages=options.messages,
            seed=options.seed,
        )


def _described(setup: Setup) -> str:
    cells = "" if setup.cells == 1 else f" in {setup.cells} cells"
    return f"{setup.members:,} members{cells}, {setup.messages_per_second:g}/s, {setup.delivery}"


def _write(rows: list[Row], options: argparse.Namespace) -> None:
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_bytes(report.as_json(rows))
    if options.csv:
        report.write_csv(rows, options.csv)
    if options.html:
        report.write_page(rows, options.html)
    if options.png:
        with TemporaryDirectory(prefix="simulate-") as folder:
            page = Path(folder, "simulate.html")
            report.write_page(rows, page)
            write_png(page, options.png)


def _many(kind: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    def parse(text: str) -> tuple[T, ...]:
        try:
            return tuple(kind(part.strip()) for part in text.split(","))
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text} is not a list such as 1,10") from error

    return parse


def _quota(text: str) -> float:
    return math.inf if text == "none" else float(text)
