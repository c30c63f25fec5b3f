"""Schedules follow the scenario and are the same in every process."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadtest.errors import ScenarioError
from loadtest.plan.scenario import POISSON, UNIFORM, Scenario, Stage
from loadtest.plan.schedule import (
    connections,
    horizon_s,
    message_id,
    message_number,
    message_prefix,
    messages,
    process_of,
    steady_users,
)

NS = 1_000_000_000


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    groups = draw(st.integers(1, 5))
    sizes = draw(st.lists(st.integers(groups, 40), min_size=1, max_size=4))
    return Scenario(
        groups=groups,
        stages=tuple(Stage(2.0, users) for users in sizes),
        rate=draw(st.floats(0.5, 50)),
        arrival=draw(st.sampled_from([POISSON, UNIFORM])),
        processes=draw(st.integers(1, 3)),
        seed=draw(st.integers(0, 1000)),
    )


@given(scenarios())
def test_messages_are_the_same_everywhere_and_in_time(scenario: Scenario) -> None:
    """Computed twice they are equal, numbered in order, and none is due after the last stage."""
    due = messages(scenario)
    assert due == messages(scenario)
    assert [message.number for message in due] == list(range(len(due)))
    offsets = [message.offset_ns for message in due]
    assert offsets == sorted(offsets)
    assert all(0 <= offset <= horizon_s(scenario) * NS for offset in offsets)


# Due less than a nanosecond before a stage ends.
AT_A_STAGES_END = Scenario(
    users=7,
    connect_rate=100.0,
    groups=1,
    rate=0.5000000000000001,
    arrival="uniform",
    duration_s=4.0,
    warmup_s=2.0,
    seed=0,
    stages=(Stage(2.0, 7), Stage(2.0, 1)),
)


@example(AT_A_STAGES_END)
@given(scenarios())
def test_senders_are_steady_members(scenario: Scenario) -> None:
    """Each sender has been in the group since the stage before, and stays."""
    alive = {
        user: [
            (-1 if life.initial else life.connect_ns, life.leave_ns)
            for life in connections(scenario)
            if life.user == user
        ]
        for user in range(scenario.users)
    }
    for message in messages(scenario):
        assert message.sender % scenario.groups == message.group
        assert any(
            connect_ns <= message.offset_ns and (leave_ns is None or message.offset_ns < leave_ns)
            for connect_ns, leave_ns in alive[message.sender]
        )


@given(scenarios())
def test_connections_add_up_to_the_stages(scenario: Scenario) -> None:
    """In the middle of each stage's second half, the stage's number of users is connected."""
    at_s = scenario.warmup_s
    for stage in scenario.stages:
        at_s += stage.duration_s
        online = [
            life.user
            for life in connections(scenario)
            if (life.initial or life.connect_ns < (at_s - 0.5) * NS)
            and (life.leave_ns is None or life.leave_ns > (at_s - 0.5) * NS)
        ]
        assert sorted(online) == list(range(stage.users))


@given(scenarios())
def test_processes_share_every_group(scenario: Scenario) -> None:
    """A group's users are spread over the processes evenly."""
    for group in range(scenario.groups):
        members = range(group, scenario.users, scenario.groups)
        held = [
            sum(process_of(user, scenario) == process for user in members)
            for process in range(scenario.processes)
        ]
        assert max(held) - min(held) <= 1


def test_uniform_messages_are_evenly_spaced() -> None:
    """4 a second for 2 s after 1 s of warm-up: 12, a quarter of a second apart."""
    due = messages(Scenario(users=2, rate=4, arrival=UNIFORM, duration_s=2, warmup_s=1))
    assert [message.offset_ns for message in due] == [number * NS // 4 for number in range(12)]


def test_poisson_messages_come_at_their_rate() -> None:
    """1,000 s at 10 a second: 10,000 within five standard deviations, with gaps of all lengths."""
    due = messages(Scenario(users=2, rate=10, duration_s=1000, warmup_s=0))
    assert abs(len(due) - 10_000) < 500
    gaps = [after.offset_ns - before.offset_ns for before, after in pairwise(due)]
    assert min(gaps) < 0.01 * NS
    assert max(gaps) > 0.5 * NS


def test_only_steady_users_send() -> None:
    """Users who are joining or have left do not."""
    stages = (Stage(5, 2), Stage(5, 10), Stage(5, 4))
    assert steady_users(Scenario(stages=stages)) == [2, 2, 4]


@given(st.integers(0, 2**40))
def test_an_id_is_a_uuid_with_its_number(number: int) -> None:
    """In lower case; another run's ids are not ours."""
    prefix = message_prefix("0123456789ab")
    identifier = message_id(prefix, number)
    assert str(UUID(identifier)) == identifier
    assert UUID(identifier).version == 8
    assert message_number(prefix, identifier) == number
    assert message_number(message_prefix("0123456789ac"), identifier) is None


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"users": 0}, "users must be more than 0"),
        ({"rate": 0}, "rate must be more than 0"),
        ({"warmup_s": -1}, "warmup_s can't be negative"),
        ({"arrival": "bursts"}, "poisson or uniform, not bursts"),
        ({"users": 3, "groups": 4}, "as many users as there are groups"),
        ({"stages": (Stage(10, 10), Stage(1, 500))}, "a stage of 1 s is too short"),
        ({"stages": (Stage(9, 10), Stage(0, 10))}, "a stage of 0 s is too short"),
    ],
)
def test_impossible_scenarios_have_a_reason(asked: dict[str, Any], says: str) -> None:
    """Before anything starts."""
    with pytest.raises(ScenarioError, match=says):
        Scenario(**asked)


def test_stages_give_users_and_duration() -> None:
    """The most users, and the sum of durations; without stages there is one."""
    staged = Scenario(stages=(Stage(10, 20), Stage(30, 50)))
    assert (staged.users, staged.duration_s) == (50, 40)
    assert Scenario(users=7, duration_s=3).stages == (Stage(3, 7),)
