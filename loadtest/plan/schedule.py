"""When each message is due, and when each user connects and leaves: fixed in advance. Pure.

Every process computes the same schedule from the scenario, so a receiver knows when a message was due without
asking its sender. Offsets count from the start of the warm-up.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.clock import NS_PER_S
from loadtest.plan.scenario import POISSON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.plan.scenario import Scenario

# A version 8 UUID (RFC 9562, section 5.8) has custom contents: here the run, then the message number.
_VERSION_AND_VARIANT = "-8000-8000-"
_NUMBER_DIGITS = 12
RUN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """Message `number`, which user `sender` sends to `group` at `offset_ns`. All numbers count from 0."""

    number: int
    offset_ns: int
    group: int
    sender: int


@dataclass(frozen=True, slots=True)
class PlannedConnection:
    """One connection of a user. An `initial` one opens before the run, and its `connect_ns` counts from the
    first connect. `leave_ns` is None if it stays to the end.
    """

    user: int
    initial: bool
    connect_ns: int
    leave_ns: int | None


def messages(scenario: Scenario) -> list[PlannedMessage]:
    """All messages, in the order they are due."""
    # Seeded, so that every process draws the same numbers.
    dice = random.Random(scenario.seed)  # noqa: S311 - see above
    steady = steady_users(scenario)
    ends_s = [until_s for _, until_s in stage_bounds_s(scenario)]
    due: list[PlannedMessage] = []
    for number, (at_s, stage) in enumerate(_times(scenario, dice)):
        group = number % scenario.groups if scenario.arrival != POISSON else dice.randrange(scenario.groups)
        members = (steady[stage] - group + scenario.groups - 1) // scenario.groups
        sender = group + scenario.groups * dice.randrange(members)
        # Rounding must not move it past the end of the stage, when its sender may leave.
        offset_ns = min(round(at_s * NS_PER_S), round(ends_s[stage] * NS_PER_S) - 1)
        due.append(PlannedMessage(number, offset_ns, group, sender))
    return due


def connections(scenario: Scenario) -> list[PlannedConnection]:
    """All connections, in the order they open."""
    begun: dict[int, tuple[bool, int]] = {}
    ended: list[PlannedConnection] = []
    online = 0
    for stage, (from_s, _) in zip(scenario.stages, stage_bounds_s(scenario), strict=True):
        initial, first_s = online == 0, from_s if online else 0.0
        for place, user in enumerate(range(online, stage.users)):
            begun[user] = (initial, round((first_s + place / scenario.connect_rate) * NS_PER_S))
        leavers = range(stage.users, online)
        ended += [
            PlannedConnection(user, *begun.pop(user), leave_ns=round(from_s * NS_PER_S)) for user in leavers
        ]
        online = stage.users
    ended += [PlannedConnection(user, *begin, leave_ns=None) for user, begin in begun.items()]
    return sorted(ended, key=lambda planned: (not planned.initial, planned.connect_ns, planned.user))


def stage_bounds_s(scenario: Scenario) -> list[tuple[float, float]]:
    """(start, end) of each stage; the first one starts at the end of the warm-up."""
    bounds = []
    start_s = scenario.warmup_s
    for stage in scenario.stages:
        bounds.append((start_s, start_s + stage.duration_s))
        start_s += stage.duration_s
    return bounds


def horizon_s(scenario: Scenario) -> float:
    """The time from the start of the warm-up to the end of the last stage."""
    return scenario.warmup_s + scenario.duration_s


def steady_users(scenario: Scenario) -> list[int]:
    """For each stage, the number of users who are online all the time. Only they send."""
    counts = [stage.users for stage in scenario.stages]
    return [min(before, now) for before, now in zip([counts[0], *counts], counts, strict=False)]


def process_of(user: int, scenario: Scenario) -> int:
    """The number of the process that holds a user; each process gets a part of every group."""
    return user // scenario.groups % scenario.processes


def group_names(run: str, groups: int) -> list[str]:
    """New groups for each run, so that connections left over from another run do not matter."""
    return [f"load-{run[:6]}-{number + 1}" for number in range(groups)]


def message_prefix(run: str) -> str:
    """The common beginning of all message ids of a run; `run` is RUN_DIGITS hexadecimal digits."""
    return f"{run[:8]}-{run[8:]}{_VERSION_AND_VARIANT}"


def message_id(prefix: str, number: int) -> str:
    """A UUID that holds the run and the number of a message."""
    return f"{prefix}{number:0{_NUMBER_DIGITS}x}"


def message_number(prefix: str, identifier: str) -> int | None:
    """The number in a message id; None if the message belongs to another run."""
    return int(identifier[-_NUMBER_DIGITS:], 16) if identifier.startswith(prefix) else None


def _times(scenario: Scenario, dice: random.Random) -> Iterator[tuple[float, int]]:
    """(due time, stage) of each message; the warm-up is traffic of the first stage."""
    ends_s = [until_s for _, until_s in stage_bounds_s(scenario)]
    at_s, count, stage = 0.0, 0, 0
    while True:
        if scenario.arrival == POISSON:
            at_s += dice.expovariate(scenario.rate)
        else:
            at_s = count / scenario.rate
        while at_s >= ends_s[stage]:
            stage += 1
            if stage == len(ends_s):
                return
        count += 1
        yield at_s, stage
