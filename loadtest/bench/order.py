"""A row about order: messages that arrive after one with a higher seq, before the client sorts them.

The cloud has the hop delays of AWS, whose stream is far slower than this machine's. So messages through the
stream and messages offered by their sender differ as much as on AWS.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from loadtest.bench.clouds import cloud
from loadtest.bench.pairs import NotMeasuredError, Row, row_of
from loadtest.plan.scenario import Scenario

if TYPE_CHECKING:
    from loadtest.bench.clouds import Measurement
    from loadtest.bench.pairs import Bench

# Messages a second in each group.
RATES = (0.5, 2.0, 5.0, 10.0)
# Messages a second over all groups.
TOTAL_RATE = 20.0
MEMBERS = 10
DURATION_S = 20.0
# Acks are much faster unless the machine is busy with something else. Senders are seconds late then, and the
# order of their messages means nothing.
ACK_MS_MAX = 300.0
TARGET_PERCENT = 1.0
RUNS_MAX = 1


async def order(bench: Bench) -> list[Row]:
    """Take the worst rate of each run."""
    name = f"messages that overtake others, {RATES[0]:g} to {RATES[-1]:g} messages/s in a group of {MEMBERS}"
    async with cloud("order", "--hops", "aws") as one:

        async def lanes(number: int) -> list[float]:
            return [overtaken_percent(await one.measure(scenario(rate, number))) for rate in RATES]

        percents = [found for (found,) in await bench.rounds(name, lanes, at_most=RUNS_MAX)]
    by_rate = [median(values) for values in zip(*percents, strict=True)]
    detail = ", ".join(f"{one:.2f} at {rate:g}" for one, rate in zip(by_rate, RATES, strict=True))
    return [
        row_of(
            name, [max(found) for found in percents], TARGET_PERCENT, at_most=True, unit="%", detail=detail
        )
    ]


def scenario(rate: float, number: int) -> Scenario:
    """A scenario with enough groups for TOTAL_RATE."""
    groups = round(TOTAL_RATE / rate)
    return Scenario(
        users=groups * MEMBERS,
        groups=groups,
        rate=TOTAL_RATE,
        connect_rate=100,
        duration_s=DURATION_S,
        warmup_s=2,
        drain_s=10,
        seed=number + 1,
    )


def overtaken_percent(measurement: Measurement) -> float:
    """Deliveries after one with a higher seq. Raises NotMeasuredError if senders were too slow."""
    if measurement.ack_p50_ms > ACK_MS_MAX:
        raise NotMeasuredError(f"acks took {measurement.ack_p50_ms:.0f} ms: the machine does something else")
    ledger = measurement.result.ledger
    return 100 * ledger.out_of_order / ledger.received
