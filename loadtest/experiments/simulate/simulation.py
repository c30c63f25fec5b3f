"""Runs a setup to its outcome."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import simpy

from loadtest.experiments.simulate.cell import Cell
from loadtest.experiments.simulate.delays import sample_s
from loadtest.experiments.simulate.delivery import Delivery
from loadtest.experiments.simulate.work import Message, parts_of
from loadtest.results.histogram import SAMPLES_BEYOND, rank_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadtest.experiments.simulate.setup import Setup
    from loadtest.experiments.simulate.work import Process


# Time after the last due message for those under way: at least, and in passes.
DRAIN_S = 60.0
DRAIN_PASSES = 5
# The backlog grows if the median of the last third of messages is so many times that of the third before, and
# also exceeds it by this share of the time of both. The second rule ignores a few slow batches.
GROWTH_RATIO = 1.3
GROWTH_SHARE = 0.01
SLICES = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a setup. Rates and shares are over all cells and the whole simulation.

    `group_complete_ms_*` count from a message's due time until its last member has it; None with too few
    messages beyond, or if they were not delivered at the end of the simulation (`unfinished` counts those).
    `given_up` counts deliveries that RetryQueue gave up. `keeps_up` is false if messages are given up or
    arrive later and later.

    `packing` is messages per frame, `quota_used` the share of the quota that posts and clients used,
    `posts_refused` and `inbound_refused` the refused shares, `handed_off` the share of posts left to
    RetryQueue, `repeated` the ratio of repeated deliveries to others, `express` the share of messages that
    their senders offered, `busy_workers` the mean number of busy workers.
    """

    setup: Setup
    messages: int
    simulated_s: float
    group_complete_ms_p50: float | None
    group_complete_ms_p99: float | None
    group_complete_ms_max: float | None
    unfinished: int
    given_up: int
    keeps_up: bool
    posts: int
    posts_per_second: float
    packing: float
    quota_used: float
    posts_refused: float
    inbound_refused: float
    handed_off: float
    repeated: float
    express: float
    invocations_per_second: float
    offerings_per_second: float
    busy_workers: float


def simulate(setup: Setup, progress: Callable[[float], None] = lambda _: None) -> Outcome:
    """Run a setup. `progress` gets the share of the time that has passed."""
    env = simpy.Environment()
    dice = random.Random(setup.seed)  # noqa: S311 - seeded: a simulation can be repeated
    cells = [
        Cell(env, setup, members, dice.getrandbits(32)) for members in parts_of(setup.members, setup.cells)
    ]
    messages = _messages(setup, dice)
    env.process(_arrivals(env, messages, [Delivery(cell) for cell in cells], dice))
    ends_s = messages[-1].due_s + max(DRAIN_S, DRAIN_PASSES * setup.pass_s)
    for part in range(1, SLICES + 1):
        env.run(until=ends_s * part / SLICES)
        progress(part / SLICES)
        if math.isinf(env.peek()):
            break
    return _outcome(setup, messages, cells, env.now)


def _messages(setup: Setup, dice: random.Random) -> list[Message]:
    at_s, found = 0.0, []
    for _ in range(setup.messages_before + setup.messages_measured):
        at_s += dice.expovariate(setup.messages_per_second)
        found.append(Message(at_s, setup.members))
    return found


def _arrivals(
    env: simpy.Environment, messages: Sequence[Message], cells: Sequence[Delivery], dice: random.Random
) -> Process:
    for message in messages:
        yield env.timeout(message.due_s - env.now)
        home = dice.randrange(len(cells))
        for number, delivery in enumerate(cells):
            hop_s = 0.0 if number == home else sample_s(delivery.cell.setup.delays.cell_hop, dice)
            env.process(delivery.send(message, hop_s))


def _outcome(setup: Setup, messages: Sequence[Message], cells: Sequence[Cell], now_s: float) -> Outcome:
    measured = messages[setup.messages_before :]
    took_ms = sorted((one.done_at_s - one.due_s) * 1000 for one in measured if one.done_at_s is not None)
    # The drain after the last message is not part of the traffic, unless there is a backlog.
    done_s = [one.done_at_s for one in messages if one.done_at_s is not None]
    seconds = now_s if len(done_s) < len(messages) else max(done_s)
    posts = sum(cell.account.posts_accepted for cell in cells)
    tried = posts + sum(cell.account.posts_refused for cell in cells)
    delivered = sum(setup.members - one.missing for one in messages)
    inbound = setup.inbound_per_second * len(cells)
    inbound_refused = sum(cell.account.inbound_refused for cell in cells) / seconds
    asked = posts / seconds + inbound - inbound_refused
    given_up = sum(one.given_up for one in messages)
    counts = [cell.counts for cell in cells]
    return Outcome(
        setup=setup,
        messages=len(measured),
        simulated_s=seconds,
        group_complete_ms_p50=_percentile(took_ms, len(measured), 50),
        group_complete_ms_p99=_percentile(took_ms, len(measured), 99),
        group_complete_ms_max=took_ms[-1] if len(took_ms) == len(measured) else None,
        unfinished=len(measured) - len(took_ms),
        given_up=given_up,
        keeps_up=not given_up and _keeps_up(measured),
        posts=posts,
        posts_per_second=posts / seconds,
        packing=delivered / max(posts, 1),
        quota_used=asked / (setup.quota_per_second * len(cells)),
        posts_refused=1 - posts / max(tried, 1),
        inbound_refused=inbound_refused / inbound if inbound else 0.0,
        handed_off=sum(one.handed_off for one in counts) / max(posts, 1),
        repeated=sum(one.repeated for one in counts) / max(delivered, 1),
        express=sum(one.express for one in counts) / len(cells) / len(messages),
        invocations_per_second=sum(one.invocations for one in counts) / seconds,
        offerings_per_second=sum(one.offerings for one in counts) / seconds,
        busy_workers=sum(one.busy_s for one in counts) / seconds,
    )


def _percentile(sorted_ms: Sequence[float], count: int, percent: float) -> float | None:
    """Nearest rank among all messages; undelivered ones rank after delivered ones."""
    rank = rank_of(percent, count)
    if count - rank < SAMPLES_BEYOND or rank > len(sorted_ms):
        return None
    return sorted_ms[rank - 1]


def _keeps_up(measured: Sequence[Message]) -> bool:
    third = len(measured) // 3
    parts = measured[third : 2 * third], measured[2 * third :]
    before_s, last_s = (_median_s(part) for part in parts)
    came_in_s = measured[-1].due_s - measured[third].due_s
    is_longer = last_s > GROWTH_RATIO * before_s and last_s - before_s > GROWTH_SHARE * came_in_s
    return math.isfinite(last_s) and not is_longer


def _median_s(messages: Sequence[Message]) -> float:
    took = sorted(math.inf if one.done_at_s is None else one.done_at_s - one.due_s for one in messages)
    return took[len(took) // 2] if took else 0.0
