"""The calculator's lanes, with results worked out on paper."""

from __future__ import annotations

import math

import pytest

from groupcast_cli.cost import Load, Prices, estimate, traffic_of
from groupcast_cli.cost.lanes import QUEUE_HOP_S, STREAM_HOP_S
from tests.unit.groupcast_cli.test_cost import MONTH_S, quantities


def test_a_rare_message_costs_four_requests_and_a_booking() -> None:
    """Sent, sent again by the stream, received, deleted; the pass and the second offer are invocations."""
    bill = estimate(Load(members=100, messages_per_second=0.01), Prices())
    used = quantities(bill)
    a_month = 0.01 * MONTH_S
    assert bill.traffic.express == 1
    assert used["SQS: offers sent, received, deleted"] == pytest.approx(4 * a_month, rel=1e-3)
    assert used["DynamoDB: writes of the budget"] == pytest.approx(a_month, rel=1e-3)
    assert used["Lambda: fan-out"] == pytest.approx(2 * a_month, rel=1e-3)
    # 10 ms to read the members, 15 ms for a round of posts, 20 ms for the second offer.
    assert used["Lambda: fan-out, 1,769 MB"] == pytest.approx(0.045 * a_month * 1769 / 1024, rel=1e-3)
    assert bill.traffic.late_s == pytest.approx(QUEUE_HOP_S + 2 * 0.025)


def test_the_stream_costs_no_offers() -> None:
    """Idle polls of both queues remain."""
    bill = estimate(Load(members=100, messages_per_second=0.01, delivery="stream"), Prices())
    used = quantities(bill)
    assert used["SQS: offers sent, received, deleted"] == 0
    assert used["SQS: idle polls of DeliveryQueue"] == used["SQS: idle polls of RetryQueue"] == MONTH_S / 4


def test_a_frame_fills_with_messages_that_arrive_during_a_pass() -> None:
    """40/s and a pass of 25 ms: one per pass on average, so 1 - 1/e of passes follow directly."""
    traffic = traffic_of(Load(members=100, messages_per_second=40))
    assert traffic.packing == pytest.approx(1 + 1 / math.e)
    assert traffic.passes == pytest.approx(40 / traffic.packing)
    assert (traffic.limit, traffic.sustainable) == ("none", True)


def test_over_the_budget_a_pass_takes_as_long_as_its_posts() -> None:
    """10,000 posts at 7,000/s; a message waits for at most one pass and shares frames with others."""
    traffic = traffic_of(Load(members=10_000, messages_per_second=5))
    assert traffic.posts == pytest.approx(7_000, rel=1e-3)
    assert traffic.pass_s == pytest.approx(10 / 7, rel=1e-3)
    assert traffic.late_s == pytest.approx(2 * 10 / 7 + QUEUE_HOP_S, rel=1e-3)
    assert traffic.packing == pytest.approx(5 * 10 / 7, rel=1e-3)
    assert traffic.workers_busy == pytest.approx(1, rel=1e-3)
    # One booking covers 50 ms of the budget.
    assert traffic.bookings == pytest.approx(20, rel=1e-3)
    assert (traffic.limit, traffic.sustainable) == ("requests", True)


def test_small_groups_share_bookings() -> None:
    """A worker books its debt at 50 posts: five passes over ten members."""
    traffic = traffic_of(Load(members=10, messages_per_second=1))
    assert traffic.bookings == pytest.approx(traffic.passes / 5)
    larger = traffic_of(Load(members=600, messages_per_second=0.1))
    assert larger.bookings == pytest.approx(larger.passes * 600 / 350)


def test_without_a_budget_the_quota_is_the_limit() -> None:
    """It includes members' frames."""
    load = Load(members=10_000, messages_per_second=5, posts_per_second=0)
    traffic = traffic_of(load)
    incoming = 5 + 10_000 / 510 + 2 * 10_000 / 7_200
    assert traffic.posts == pytest.approx(10_000 - incoming)
    assert traffic.bookings == 0


def test_a_large_group_has_lanes() -> None:
    """50,000 members have three lanes: an offer each, served concurrently."""
    load = Load(members=50_000, messages_per_second=0.001, quota_per_second=1_000_000)
    traffic = traffic_of(load)
    assert traffic.offers == pytest.approx(0.003)
    # Each posts to 16,667 members: 66 rounds of 256 posts.
    assert traffic.pass_s == pytest.approx(0.01 + 66 * 0.015)
    # All three are sent in one request, twice; each is received and deleted.
    assert traffic.queue_requests == pytest.approx(0.001 * (2 + 2 * 3), rel=1e-2)


def test_a_busy_group_is_left_to_the_stream() -> None:
    """Over fifty messages per pass: each read of the stream's eight lanes every 250 ms becomes an offer."""
    traffic = traffic_of(Load(members=2_000, messages_per_second=500, quota_per_second=100_000))
    assert traffic.pass_s == pytest.approx(0.01 + 8 * 0.015)
    assert traffic.express == 0
    assert traffic.offers == pytest.approx(32 * (1 - math.exp(-500 / 32)))
    assert traffic.marks == 1
    assert traffic.wait_s == pytest.approx(traffic.pass_s + QUEUE_HOP_S + STREAM_HOP_S)


def test_a_pass_over_many_offers_takes_the_rest_from_the_log() -> None:
    """More arrive during a pass than a batch holds, and all of them share the next pass."""
    traffic = traffic_of(Load(members=10_000, messages_per_second=20))
    assert traffic.offers * traffic.pass_s > 10
    assert traffic.packing == pytest.approx(20 * traffic.pass_s)
    assert (traffic.limit, traffic.sustainable) == ("requests", True)


def test_the_number_of_workers_limits_passes() -> None:
    """5,000 groups with 4 messages/s would need 500 workers at 25 ms per pass, so passes wait."""
    load = Load(members=500_000, groups=5_000, messages_per_second=20_000, quota_per_second=10_000_000)
    traffic = traffic_of(load)
    assert traffic.workers_busy == 100
    assert traffic.frames * 0.025 == pytest.approx(100)
    assert (traffic.limit, traffic.sustainable) == ("workers", True)
