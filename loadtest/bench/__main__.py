"""Prints the table of ratios and writes it as JSON; exit code 3 where a target is missed."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from loadtest.bench import invocations, parts, posting
from loadtest.bench.pairs import Bench, Row, as_table

DEFAULT_PAIRS = 5
TARGET_MISSED = 3


async def run(bench: Bench) -> list[Row]:
    """Measure all rows."""
    rows = [
        *posting.cpu_per_post(bench, tls=False),
        *posting.cpu_per_post(bench, tls=True),
        *posting.posts_per_second(bench),
    ]
    async with parts.tables() as (service, dynamodb):
        with parts.sink("--gone-ratio", str(invocations.STALE_RATIO)) as port:
            rows += await invocations.large_group(bench, invocations.Invocations(service, dynamodb, port))
        with parts.sink() as port:
            measuring = invocations.Invocations(service, dynamodb, port)
            rows += await invocations.burst(bench, measuring)
            rows += await invocations.growth(bench, measuring)
            rows += await invocations.cold_start(bench, measuring)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    parser.add_argument("--pairs", type=int, default=DEFAULT_PAIRS, help="of each row (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="(default: %(default)s)")
    options = parser.parse_args()
    rows = asyncio.run(
        run(Bench(options.pairs, lambda text: print(f"  {text}", file=sys.stderr, flush=True)))
    )
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"rows": [row.as_json() for row in rows]}, indent=2) + "\n")
    print(as_table(rows))
    return 0 if all(row.met for row in rows) else TARGET_MISSED


if __name__ == "__main__":
    sys.exit(main())
