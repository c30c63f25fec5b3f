"""From a setup to an outcome."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import simpy

from loadtest.histogram import SAMPLES_BEYOND, rank_of
from loadtest.simulate.cell import Cell
from loadtest.simulate.work import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from simpy.events import Event

    from loadtest.simulate.setup import Setup

    Process = Generator[Event, object, None]

# After the last message is due, what is under way has as long as all messages took to come in, or this.
DRAIN_MIN_S = 120.0
# Where the median of the last third is so many times that of the third before, the backlog grows.
GROWTH = 1.3
SLICES = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a setup. Times in ms; None: too few messages beyond it, or not finished.

    `group_complete_ms_*` is from when a message was due until its last member had it. `packing` is messages
    in a frame on average, `posts_per_second` of all cells together, `quota_used` the busiest share of an
    account's quota that posts and clients took, `posts_refused` a share of the posts that were tried, and
    `inbound_refused` a share of what clients sent. `unfinished` messages had not reached everyone when the
    simulation ended, `given_up` counts deliveries that the retries gave up. `busy_workers` is how many ran
    at a time. `keeps_up` is false where the backlog grew.
    """

    setup: Setup
    messages: int
    duration_s: float
    group_complete_ms_p50: float | None
    group_complete_ms_p99: float | None
    group_complete_ms_max: float | None
    posts: int
    posts_per_second: float
    packing: float
    quota_used: float
    posts_refused: float
    inbound_refused: float
    handed_off: float
    express: float
    invocations_per_second: float
    busy_workers: float
    unfinished: int
    given_up: int
    keeps_up: bool


def simulate(setup: Setup, progress: Callable[[float], None] = lambda _: None) -> Outcome:
    """Run a setup. `progress` is told the share of simulated time that is over."""
    env = simpy.Environment()
    dice = random.Random(setup.seed)  # noqa: S311 - seeded, to be repeated
    shares = [
        setup.members * (at + 1) // setup.cells - setup.members * at // setup.cells
        for at in range(setup.cells)
    ]
    cells = [Cell(env, setup, members, dice.getrandbits(32)) for members in shares]
    due_s = _due(setup, dice)
    messages = [Message(at_s, setup.members) for at_s in due_s]
    env.process(_arrivals(env, messages, cells, dice))
    ends_s = due_s[-1] + max(due_s[-1], DRAIN_MIN_S)
    for part in range(1, SLICES + 1):
        env.run(until=ends_s * part / SLICES)
        progress(part / SLICES)
        if env.peek() == float("inf"):
            break
    return _outcome(setup, messages, cells)


def _due(setup: Setup, dice: random.Random) -> list[float]:
    at_s, due = 0.0, []
    for _ in range(setup.messages_before + setup.messages_measured):
        at_s += dice.expovariate(setup.messages_per_second)
        due.append(at_s)
    return due


def _arrivals(
    env: simpy.Environment, messages: Sequence[Message], cells: Sequence[Cell], dice: random.Random
) -> Process:
    for message in messages:
        yield env.timeout(message.due_s - env.now)
        home = dice.randrange(len(cells))
        for number, cell in enumerate(cells):
            hop_s = 0.0 if number == home else cell.setup.delays.cell_hop.sample_s(dice)
            env.process(cell.send(message, hop_s))


def _outcome(setup: Setup, messages: Sequence[Message], cells: Sequence[Cell]) -> Outcome:
    measured = messages[setup.messages_before :]
    took_ms = sorted((one.done_at_s - one.due_s) * 1000 for one in measured if one.done_at_s is not None)
    last_s = max((one.done_at_s for one in messages if one.done_at_s is not None), default=messages[-1].due_s)
    posts = sum(cell.account.posts_accepted for cell in cells)
    refused = sum(cell.account.posts_refused for cell in cells)
    inbound = sum(cell.account.inbound_accepted for cell in cells)
    inbound_refused = sum(cell.account.inbound_refused for cell in cells)
    delivered = sum(setup.members - one.missing for one in messages)
    used = max((cell.account.posts_accepted / last_s + setup.inbound) for cell in cells)
    return Outcome(
        setup=setup,
        messages=len(measured),
        duration_s=last_s,
        group_complete_ms_p50=_percentile(took_ms, len(measured), 50),
        group_complete_ms_p99=_percentile(took_ms, len(measured), 99),
        group_complete_ms_max=took_ms[-1] if len(took_ms) == len(measured) else None,
        posts=posts,
        posts_per_second=posts / last_s,
        packing=delivered / posts if posts else 1.0,
        quota_used=used / setup.quota_per_second,
        posts_refused=refused / (posts + refused) if posts else 0.0,
        inbound_refused=inbound_refused / (inbound + inbound_refused) if inbound else 0.0,
        handed_off=sum(cell.handed_off for cell in cells) / posts if posts else 0.0,
        express=sum(cell.express for cell in cells) / len(cells) / len(messages),
        invocations_per_second=sum(cell.invocations for cell in cells) / last_s,
        busy_workers=sum(cell.busy_s for cell in cells) / last_s,
        unfinished=sum(1 for one in measured if one.done_at_s is None),
        given_up=sum(one.given_up for one in messages),
        keeps_up=_keeps_up(measured),
    )


def _percentile(sorted_ms: Sequence[float], count: int, percent: float) -> float | None:
    """Nearest rank among all messages; those that did not finish took longer than any that did."""
    rank = rank_of(percent, count)
    if count - rank < SAMPLES_BEYOND or rank > len(sorted_ms):
        return None
    return sorted_ms[rank - 1]


def _keeps_up(measured: Sequence[Message]) -> bool:
    third = len(measured) // 3
    medians = []
    for part in (measured[third : 2 * third], measured[2 * third :]):
        took = sorted((one.done_at_s or float("inf")) - one.due_s for one in part)
        medians.append(took[len(took) // 2] if took else 0.0)
    return medians[1] < float("inf") and medians[1] <= GROWTH * medians[0]
