"""Prints the table of ratios and writes it as JSON.

Exit code 3 if a row misses its target, 4 if the harness was too slow for a row.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import uvloop

from groupcast_cli.terminal import show
from loadtest.bench import (
    fixtures,
    interrupted,
    invocations,
    neighbour,
    order,
    posting,
    quiet,
    saturated,
    workers,
)
from loadtest.bench.pairs import Bench, NoRatioError, Row, as_table, without_ratio

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

T = TypeVar("T")

DEFAULT_PAIRS = 5
TARGET_MISSED = 3
NOT_MEASURED = 4

POSTING = {
    "http": lambda bench: posting.cpu_per_post(bench, tls=False),
    "tls": lambda bench: posting.cpu_per_post(bench, tls=True),
    "wrk": posting.posts_per_second,
}
INVOCATIONS = {
    "large-group": invocations.large_group,
    "burst": invocations.burst,
    "growth": invocations.growth,
    "cold-start": invocations.cold_start,
}
VIRTUAL = {"budget": workers.budget}
CLOUDS = {
    "quiet-10": quiet.small,
    "quiet-1000": quiet.large,
    "saturated": saturated.saturated,
    "interrupted": interrupted.interrupted,
    "neighbour": neighbour.neighbour,
    "order": order.order,
}


async def run(bench: Bench, wanted: Collection[str]) -> list[Row]:
    """Measure the wanted rows."""
    rows = [row for _, measure in _each(POSTING, wanted, bench) for row in measure(bench)]
    if any(name in wanted for name in INVOCATIONS):
        rows += await _invocations(bench, wanted)
    for name, measure_cloud in _each(CLOUDS, wanted, bench):
        try:
            rows += await measure_cloud(bench)
        except NoRatioError as error:
            rows.append(without_ratio(name, error))
    return rows


async def _invocations(bench: Bench, wanted: Collection[str]) -> list[Row]:
    rows: list[Row] = []
    async with fixtures.tables() as (service, dynamodb):
        for name, measure in _each(INVOCATIONS, wanted, bench):
            stale = invocations.STALE_RATIO if name == "large-group" else 0
            with fixtures.sink("--gone-ratio", str(stale)) as port:
                rows += await measure(bench, invocations.Invocations(service, dynamodb, port))
    return rows


def _each(measures: Mapping[str, T], wanted: Collection[str], bench: Bench) -> Iterator[tuple[str, T]]:
    """The wanted measures, each of which is announced."""
    for name, measure in measures.items():
        if name in wanted:
            bench.say(name)
            yield name, measure


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    parser.add_argument(
        "--pairs", type=int, default=DEFAULT_PAIRS, help="pairs of each row (default: %(default)s)"
    )
    parser.add_argument(
        "--json", type=Path, default=Path("build/bench.json"), help="file (default: %(default)s)"
    )
    names = (*POSTING, *VIRTUAL, *INVOCATIONS, *CLOUDS)
    parser.add_argument(
        "--rows", nargs="+", choices=names, default=names, help="rows to measure (default: all)"
    )
    options = parser.parse_args()
    began_s = time.monotonic()
    bench = Bench(
        options.pairs,
        lambda text: print(f"{time.monotonic() - began_s:6.0f} s  {text}", file=sys.stderr, flush=True),
    )
    rows = [row for _, measure in _each(VIRTUAL, options.rows, bench) for row in measure(bench)]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows += runner.run(run(bench, options.rows))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"rows": [row.as_json() for row in rows]}, indent=2) + "\n")
    show(as_table(rows))
    if any(row.measured and not row.met for row in rows):
        return TARGET_MISSED
    return 0 if all(row.measured for row in rows) else NOT_MEASURED


if __name__ == "__main__":
    sys.exit(main())
