"""The whole harness against servers with known behaviour: real processes, real sockets."""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

import pytest

from loadtest.control.runner import Session, run
from loadtest.errors import LoadTestError
from loadtest.experiments.calibration import calibrate, floor_of
from loadtest.plan.scenario import UNIFORM, Scenario, Stage
from loadtest.results.thresholds import parse_abort, parse_threshold
from tests.stack.loadtest.known import Known, serving


def short(**asked: Any) -> Scenario:
    """A short scenario in which each message's due time is known."""
    common: dict[str, Any] = {"arrival": UNIFORM, "connect_rate": 500.0, "warmup_s": 0.0, "drain_s": 0.5}
    return Scenario(**common, **asked)


async def test_a_fixed_delay_is_reported_as_it_is() -> None:
    """50 ms are reported as 50 ms; the harness adds no more than its floor."""
    scenario = short(users=20, rate=40, duration_s=2.0)
    floor = floor_of(await calibrate(scenario, 2.0, asyncio.Event()))
    async with serving(Known(delay_s=0.05)) as known:
        result = await run(scenario, Session(known.url))
    delivery = result.metrics.delivery_ms
    assert delivery.count == 20 * known.messages == result.ledger.received
    assert floor.p99 is not None
    assert delivery.p50 is not None
    held_ms = statistics.median(known.held_ms)
    # Within the histogram's precision; the floor's p99 bounds the addition to a median.
    assert held_ms * 0.99 <= delivery.p50 <= held_ms + max(floor.p99, 5)


async def test_a_stall_shows_in_the_tail() -> None:
    """A server that stalls for a second delays all messages due meanwhile, not just one."""
    scenario = short(users=4, rate=100, duration_s=4.0)
    async with serving(Known(stall_at=100, stall_s=1.0)) as known:
        result = await run(scenario, Session(known.url))
    delivery = result.metrics.delivery_ms
    assert delivery.p99 is not None
    assert delivery.p50 is not None
    # A quarter of all messages waited evenly from 0 to 1 s: the last hundredth waited 0.96 s or more.
    assert delivery.p99 > 900
    assert delivery.p90 is not None
    assert 400 < delivery.p90 < delivery.p99
    assert delivery.p50 < 200
    stalled = [second for second in result.series if second.max is not None and second.max > 900]
    assert stalled
    assert result.ledger.lost == 0


async def test_a_thousandth_dropped_doubled_or_swapped_is_counted_exactly() -> None:
    """The ledger matches the server's faults delivery by delivery."""
    scenario = short(users=11, rate=400, duration_s=3.0)
    async with serving(Known(drop_every=997, double_every=1_003, swap_every=1_009)) as known:
        result = await run(scenario, Session(known.url))
        held_at_the_end = len(known._held)
    ledger = result.ledger
    assert known.dropped > 10
    assert known.doubled > 10
    assert known.swapped > 10
    assert ledger.sent == ledger.acknowledged == known.messages == 1_200
    assert ledger.expected == 1_200 * 11
    assert ledger.lost == known.dropped + held_at_the_end
    assert ledger.received == ledger.expected - ledger.lost
    assert ledger.duplicate == known.doubled
    assert ledger.out_of_order == known.swapped
    assert result.metrics.delivery_ms.count == ledger.received


async def test_processes_add_up() -> None:
    """Each delivery is counted once, whichever process sent the message."""
    scenario = short(users=13, groups=3, rate=100, duration_s=1.0, processes=2)
    async with serving(Known()) as known:
        result = await run(scenario, Session(known.url))
    assert known.connections == 13
    assert result.metrics.connect_ms.count == 13
    assert result.ledger.sent == result.ledger.acknowledged == known.messages == 100
    assert sorted(group.members for group in result.groups) == [4, 4, 5]
    assert result.ledger.expected == sum(group.members * group.messages for group in result.groups)
    assert result.ledger.lost == result.ledger.duplicate == result.ledger.out_of_order == 0
    assert result.metrics.group_complete_ms.count == 100
    assert {second.users for second in result.series} == {13}


async def test_users_come_and_go_by_stages() -> None:
    """Users who join later or leave are expected to get exactly the messages due meanwhile."""
    stages = (Stage(1.0, 2), Stage(3.0, 5), Stage(1.0, 3))
    scenario = short(rate=50, stages=stages)
    async with serving(Known()) as known:
        result = await run(scenario, Session(known.url))
    assert known.connections == 5
    assert result.ledger.lost == result.ledger.duplicate == 0
    # Two all the time, a third from the second stage on, two more in it; a join counts after a second.
    assert (
        50 * 1 * 2 + 50 * 3 * 2 + 50 * 1 * 3 <= result.ledger.expected < 50 * 1 * 2 + 50 * 3 * 5 + 50 * 1 * 3
    )
    assert result.groups[0].members == 5
    assert [second.users for second in result.series][-1] == 3


async def test_messages_to_a_connection_that_was_cut_off_are_lost() -> None:
    """A member dropped by the server still expects messages, so that losses stay visible."""
    scenario = short(users=4, rate=50, duration_s=1.0)
    async with serving(Known(cut_off_after=20)) as known:
        result = await run(scenario, Session(known.url, thresholds=[parse_threshold("ledger:lost==0")]))
    assert result.ledger.sent == known.messages == 20
    assert result.verdict.exit_code == 1
    assert "the server closed 4 connections during the run" in result.verdict.reasons
    assert any("30 messages could not be sent" in reason for reason in result.verdict.reasons)


async def test_refused_messages_are_not_losses() -> None:
    """They were never owed."""
    scenario = short(users=3, rate=50, duration_s=1.0)
    async with serving(Known(refuse_every=5)) as known:
        result = await run(scenario, Session(known.url))
    assert result.ledger.refused == known.refused == 10
    assert result.ledger.acknowledged == 40
    assert result.ledger.expected == result.ledger.received == 120


async def test_some_refused_users_make_it_an_error() -> None:
    """Without all its users it is a different run; the error has their number and the reason."""
    scenario = short(users=4, rate=20, duration_s=1.0)
    async with serving(Known(refuse_connections_from=3)) as known:
        result = await run(scenario, Session(known.url))
    assert result.verdict.exit_code == 1
    assert "1 user could not join: the server refused the handshake with 403" in result.verdict.reasons
    assert result.groups[0].members == 3


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (Known(refuse_connections_from=0), "refused the handshake with 403"),
        (Known(join_error="Forbidden"), "joinGroup was answered with Forbidden"),
    ],
    ids=["handshake", "join"],
)
async def test_without_users_there_is_no_run(known: Known, reason: str) -> None:
    """If nobody can join, the error quotes the server."""
    async with serving(known):
        with pytest.raises(LoadTestError, match=reason):
            await run(short(users=1, duration_s=1.0), Session(known.url))


async def test_an_interrupted_run_reports_its_results() -> None:
    """It drains and counts the sent messages, and misses none of the unsent ones."""
    stop = asyncio.Event()
    scenario = short(users=3, rate=50, duration_s=60.0)
    async with serving(Known()) as known:
        asyncio.get_running_loop().call_later(3.0, stop.set)
        result = await run(scenario, Session(known.url, stop=stop))
    assert result.verdict.exit_code == 130
    assert 0 < result.ledger.sent == known.messages < 50 * 4
    assert result.ledger.received == result.ledger.expected == 3 * known.messages
    assert 0 < len(result.series) < 10


async def test_a_condition_to_abort_on_ends_the_run() -> None:
    """A broken condition ends a long run within seconds and fails it."""
    scenario = short(users=3, rate=50, duration_s=60.0)
    session = Session("", abort_on=[parse_abort("delivery_ms:p(50)<20")])
    async with serving(Known(delay_s=0.1)) as known:
        result = await run(scenario, Session(known.url, abort_on=session.abort_on))
    assert result.verdict.exit_code == 3
    assert "the run ended early because delivery_ms:p(50)<20 no longer held" in result.verdict.reasons
    assert len(result.series) < 30


async def test_a_token_travels_as_a_subprotocol_and_nowhere_else() -> None:
    """With a token a user has no ?name=, and the result does not contain it."""
    scenario = short(users=1, rate=20, duration_s=0.5)
    async with serving(Known()) as known:
        result = await run(scenario, Session(f"{known.url}/dev?token=secret", token="abc.def.ghi"))
    assert known.subprotocols == ["groupcast.v1, bearer.abc.def.ghi"]
    assert known.names == ["/dev?token=secret"]
    assert b"abc.def" not in result.to_json()
    assert b"secret" not in result.to_json()
