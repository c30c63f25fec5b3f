"""When each message is due and when each user comes and goes, fixed in advance. Pure.

Every process computes the same schedule from the scenario, so a receiver knows when a message was due without
a word from its sender. Offsets count from the start of the warm-up.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.plan.scenario import POISSON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.plan.scenario import Scenario

_NS = 1_000_000_000
# A version 8 UUID (RFC 9562, section 5.8) is for contents of one's own: run, then the message's number.
_VERSION_AND_VARIANT = "-8000-8000-"
_NUMBER_DIGITS = 12
RUN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Due:
    """Message `number` is sent at `offset_ns` by user `sender`, who is in `group`. Groups count from 0."""

    number: int
    offset_ns: int
    group: int
    sender: int


@dataclass(frozen=True, slots=True)
class Life:
    """One connection of a user. `initial` ones connect before the run; their offset counts from the ramp's
    start. `leave_ns` is None for those who stay to the end.
    """

    user: int
    initial: bool
    connect_ns: int
    leave_ns: int | None


def messages(scenario: Scenario) -> list[Due]:
    """All messages, in the order they are due."""
    # The dice are seeded: what they are for is to fall the same way in every process.
    dice = random.Random(scenario.seed)  # noqa: S311 - see above
    steady = steady_users(scenario)
    ends_s = [until_s for _, until_s in stage_bounds_s(scenario)]
    due: list[Due] = []
    for number, (at_s, stage) in enumerate(_times(scenario, dice)):
        group = number % scenario.groups if scenario.arrival != POISSON else dice.randrange(scenario.groups)
        members = (steady[stage] - group + scenario.groups - 1) // scenario.groups
        sender = group + scenario.groups * dice.randrange(members)
        # Rounding must not carry it over the stage's end, at which its sender may leave.
        offset_ns = min(round(at_s * _NS), round(ends_s[stage] * _NS) - 1)
        due.append(Due(number, offset_ns, group, sender))
    return due


def lives(scenario: Scenario) -> list[Life]:
    """Every connection, in the order they begin."""
    begun: dict[int, tuple[bool, int]] = {}
    ended: list[Life] = []
    online = 0
    for stage, (from_s, _) in zip(scenario.stages, stage_bounds_s(scenario), strict=True):
        initial, first_s = online == 0, from_s if online else 0.0
        for place, user in enumerate(range(online, stage.users)):
            begun[user] = (initial, round((first_s + place / scenario.connect_rate) * _NS))
        leavers = range(stage.users, online)
        ended += [Life(user, *begun.pop(user), leave_ns=round(from_s * _NS)) for user in leavers]
        online = stage.users
    ended += [Life(user, *begin, leave_ns=None) for user, begin in begun.items()]
    return sorted(ended, key=lambda life: (not life.initial, life.connect_ns, life.user))


def stage_bounds_s(scenario: Scenario) -> list[tuple[float, float]]:
    """From when to when each stage lasts; the first one begins where the warm-up ends."""
    bounds = []
    start_s = scenario.warmup_s
    for stage in scenario.stages:
        bounds.append((start_s, start_s + stage.duration_s))
        start_s += stage.duration_s
    return bounds


def horizon_s(scenario: Scenario) -> float:
    """From the start of the warm-up to the end of the last stage."""
    return scenario.warmup_s + scenario.duration_s


def steady_users(scenario: Scenario) -> list[int]:
    """For each stage, how many users are there all through it: only they write."""
    counts = [stage.users for stage in scenario.stages]
    return [min(before, now) for before, now in zip([counts[0], *counts], counts, strict=False)]


def process_of(user: int, scenario: Scenario) -> int:
    """Which process holds a user: each gets a part of every group."""
    return user // scenario.groups % scenario.processes


def group_names(run: str, groups: int) -> list[str]:
    """Groups of their own for each run: whoever is left over from another one is in nobody's way."""
    return [f"load-{run[:6]}-{number + 1}" for number in range(groups)]


def message_prefix(run: str) -> str:
    """What the ids of all messages of a run begin with; `run` is RUN_DIGITS hexadecimal digits."""
    return f"{run[:8]}-{run[8:]}{_VERSION_AND_VARIANT}"


def message_id(prefix: str, number: int) -> str:
    """A UUID that says which message of which run it is."""
    return f"{prefix}{number:0{_NUMBER_DIGITS}x}"


def message_number(prefix: str, identifier: str) -> int | None:
    """The number in a message's id; None where the message is not of this run."""
    return int(identifier[-_NUMBER_DIGITS:], 16) if identifier.startswith(prefix) else None


def _times(scenario: Scenario, dice: random.Random) -> Iterator[tuple[float, int]]:
    """(due, stage) of each message; the warm-up is traffic of the first stage."""
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
