"""Load tests as measurements: a scenario on a local cloud, with the counts of its gateway."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

from loadtest.bench.pairs import BrokenError, NoRatioError, NotMeasuredError
from loadtest.control.localstack import local_stack
from loadtest.control.runner import Session, run
from loadtest.errors import LoadTestError
from loadtest.results.histogram import Histogram
from loadtest.results.result import INTERRUPTED, PASS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from loadtest.control.live import View
    from loadtest.control.localstack import LocalStack
    from loadtest.plan.scenario import Scenario
    from loadtest.results.result import Floor, Metric, Result

BUILD = Path("build/bench")
LANES, STREAM = "lanes", "stream"
# Longer than any pause of a fan-out.
SETTLE_S = 2.0
COUNTS_TIMEOUT_S = 10.0

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Measurement:
    """A run, and the requests that the gateway accepted and refused since its first connect."""

    result: Result
    requests: Counts

    @property
    def posts(self) -> int:
        return self.requests["posts"]["accepted"]

    @property
    def posts_refused_ratio(self) -> float:
        posts = self.requests["posts"]
        return posts["refused"] / max(posts["accepted"] + posts["refused"], 1)

    @property
    def frames_refused(self) -> int:
        return self.requests["frames"]["refused"]

    @property
    def complete_p50_ms(self) -> float:
        return known(self.result.metrics.group_complete_ms.p50, "group_complete_ms p50")

    @property
    def complete_max_ms(self) -> float:
        return known(self.result.metrics.group_complete_ms.max, "group_complete_ms max")

    @property
    def ack_p50_ms(self) -> float:
        return known(self.result.metrics.ack_ms.p50, "ack_ms p50")


class Cloud:
    """A running local cloud."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack

    async def measure(
        self,
        scenario: Scenario,
        *,
        floor: Floor | None = None,
        live: View | None = None,
        stop: asyncio.Event | None = None,
    ) -> Measurement:
        """Put a load on it. Raises NotMeasuredError if the harness was too slow, BrokenError for losses.

        Setting `stop` ends the run early; a run that served only as background load is not checked.
        """
        session = Session(
            self.stack.gateway_url,
            floor=floor,
            timeline=self.stack.timeline,
            settle_s=SETTLE_S,
            stop=stop or asyncio.Event(),
        )
        try:
            before = await self._counts()
            result = await run(scenario, session, live=live)
            after = await self._counts()
        except (LoadTestError, OSError) as error:
            raise NotMeasuredError(str(error)) from error
        if not (stop is not None and result.verdict.status == INTERRUPTED):
            check(result)
        return Measurement(result, difference(after, before))

    async def _counts(self) -> Counts:
        def read() -> Counts:
            with urlopen(self.stack.requests_url, timeout=COUNTS_TIMEOUT_S) as answer:  # noqa: S310 - our own
                return dict(json.load(answer))

        return await asyncio.to_thread(read)


@asynccontextmanager
async def cloud(name: str, *arguments: str, delivery: str = LANES) -> AsyncIterator[Cloud]:
    """Start `groupcast up` with more arguments and logs below build/bench/NAME. Raises NotMeasuredError."""
    arguments = ("--param", f"delivery={delivery}", *arguments)
    try:
        async with local_stack(BUILD / f"{name}-{delivery}", arguments=arguments) as stack:
            yield Cloud(stack)
    except NoRatioError:
        raise
    except LoadTestError as error:
        raise NotMeasuredError(str(error)) from error


def check(result: Result) -> None:
    """Raise BrokenError or NotMeasuredError unless the run passed."""
    ledger, verdict = result.ledger, result.verdict
    if ledger.lost:
        raise BrokenError(f"{ledger.lost:,} of {ledger.expected:,} deliveries were lost")
    if verdict.status != PASS:
        raise NotMeasuredError("; ".join(verdict.reasons) or verdict.status)


def known(value: float | None, what: str) -> float:
    """Return `value`. Raises NotMeasuredError if the run had too few samples for it."""
    if not value:
        raise NotMeasuredError(f"too few messages for {what}")
    return value


def difference(after: Mapping[str, Mapping[str, int]], before: Mapping[str, Mapping[str, int]]) -> Counts:
    """The counts between two readings."""
    return {
        kind: {name: count - before[kind][name] for name, count in of.items()} for kind, of in after.items()
    }


def pooled(metrics: Iterable[Metric]) -> Histogram:
    """Merge the distributions of several runs."""
    pool = Histogram()
    for metric in metrics:
        part = Histogram()
        part.counts = dict(metric.histogram.counts)
        part.count = metric.count
        if metric.min is not None and metric.max is not None:
            part.min_us, part.max_us = round(metric.min * 1000), round(metric.max * 1000)
        pool.merge(part)
    return pool
