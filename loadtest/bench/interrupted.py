"""Rows about passes that outlast their function: none may lose messages or start over."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from loadtest.bench.clouds import LANES, Measurement, cloud
from loadtest.bench.pairs import NotMeasuredError, Row, row_of, worst_of
from loadtest.plan.scenario import UNIFORM, Scenario
from loadtest.results.deliverypath import read_timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from loadtest.bench.pairs import Bench

MESSAGES = 8
MEMBERS = 1_000
POSTS_PER_S = 70
# A pass takes more than 14 s but stops 10 s before the timeout, so the queue gets most of it.
TIMEOUT_S = 12
ARGUMENTS = (
    *("--timeout", f"fanoutMessage={TIMEOUT_S}"),
    *("--param", f"postsPerSecond={POSTS_PER_S}", "--param", f"postBurst={POSTS_PER_S // 2}"),
)
# All within a fifth of a second, which is short against a pass.
RATE = 40
# Enough even with a frame for each message.
DRAIN_S = 1.5 * MESSAGES * MEMBERS / POSTS_PER_S
POSTS_TARGET = 1.05
RUNS_MAX = 2


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A measurement; `frames` counts the different bodies of first posts."""

    measurement: Measurement
    frames: int

    @property
    def ratio(self) -> float:
        """Posts divided by the number needed."""
        return self.measurement.posts / (MEMBERS * self.frames)


async def interrupted(bench: Bench) -> list[Row]:
    """Send eight messages at once to a group whose pass outlasts the function."""
    name = f"{MESSAGES} messages at once, a pass longer than the function's {TIMEOUT_S} s"
    runs = [one for (one,) in await bench.rounds(name, _measure, at_most=RUNS_MAX)]
    frames = median(one.frames for one in runs)
    twice = [float(one.measurement.result.ledger.duplicate) for one in runs]
    return [
        row_of(
            f"{name}: posts, against members x frames",
            [one.ratio for one in runs],
            POSTS_TARGET,
            at_most=True,
            detail=f"{median(one.measurement.posts for one in runs):,.0f} posts, {frames:g} frames",
        ),
        worst_of(f"{name}: duplicate deliveries, none lost", twice, 0, unit=""),
    ]


async def _measure(number: int) -> Interrupted:
    scenario = Scenario(
        users=MEMBERS,
        connect_rate=200,
        rate=RATE,
        arrival=UNIFORM,
        duration_s=MESSAGES / RATE,
        warmup_s=0,
        drain_s=DRAIN_S,
        seed=number + 1,
    )
    async with cloud("interrupted", *ARGUMENTS, delivery=LANES) as one:
        measurement = await one.measure(scenario)
        frames = frames_of(instants for _, instants in read_timeline(one.stack.timeline, ""))
    if measurement.result.ledger.acknowledged < MESSAGES:
        raise NotMeasuredError(f"only {measurement.result.ledger.acknowledged} messages were acknowledged")
    if measurement.complete_max_ms < 1_000 * TIMEOUT_S:
        raise NotMeasuredError("no pass was interrupted")
    return Interrupted(measurement, frames)


def frames_of(timeline: Iterable[Mapping[str, Any]]) -> int:
    """Count the bodies of a timeline's messages; messages of one body share its first post."""
    first_posts = {instants["messageId"]: instants["first_post_ns"] for instants in timeline}
    return len(set(first_posts.values()))
