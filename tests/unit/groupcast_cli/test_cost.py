"""The calculator, with results worked out on paper. A month is 365 / 12 days: 2,628,000 s, 43,800 minutes."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupcast_cli.cost import Estimate, Load, Price, Prices, add_parser, estimate, traffic_of
from groupcast_cli.cost.model import requests_in_per_second

MONTH_S = 2_628_000


def dollars(bill: Estimate) -> dict[str, float]:
    return {f"{item.service}: {item.what}": item.dollars for item in bill.items}


def quantities(bill: Estimate) -> dict[str, float]:
    return {f"{item.service}: {item.what}": item.quantity for item in bill.items}


def test_a_tier_begins_where_the_last_one_ends() -> None:
    """Messages: a billion at $1 a million, the rest at $0.80. 11 TB: ten at $0.09 a GB, one at $0.085."""
    assert Prices().messages.of(1_500_000_000) == pytest.approx(1_000 + 400)
    assert Prices().transfer.of(11 * 1024) == pytest.approx(921.6 + 87.04)


def test_silent_members_cost_connections_and_pings() -> None:
    """7,200 members ping every 240 s and reconnect every 2 h: 30 pings and 1 connection a second."""
    bill = estimate(Load(members=7_200, messages_per_second=0, ping_interval_s=240), Prices())
    spent = dollars(bill)
    # 7,200 x 43,800 minutes at $0.25 a million.
    assert spent["API Gateway: connections"] == pytest.approx(78.84)
    # 31 frames in (a connection joins once) and 31 replies a second.
    assert spent["API Gateway: frames in, and replies"] == pytest.approx(162.936)
    # 30 pings, and four functions of one connection.
    assert spent["Lambda: routes"] == pytest.approx(34 * MONTH_S / 1e6 * 0.20)
    # 15 ms each: pings with half a GB; authorize, connect, joinGroup and disconnect with 2 GB together.
    gb = 30 / 2 + 2
    assert spent["Lambda: routes, 256 to 1,024 MB"] == pytest.approx(gb * MONTH_S * 0.015 * 0.0000133334)
    # A write of a ping and 12 of a connection; 1.5 reads of a ping and 4 of a connection.
    assert spent["DynamoDB: writes"] == pytest.approx(68.985)
    assert spent["DynamoDB: reads of routes"] == pytest.approx(49 * MONTH_S / 1e6 * 0.125)
    assert spent["API Gateway: posts to members"] == spent["Lambda: fan-out"] == 0
    assert spent["SQS: offers sent, received, deleted"] == spent["DynamoDB: writes of the budget"] == 0
    assert bill.dollars == pytest.approx(sum(spent.values()))


def test_a_rare_message_is_posted_to_each_member() -> None:
    """100 members, a message every 100 s: a post a second. A fan-out takes 10 ms and a round of 15 ms."""
    bill = estimate(Load(members=100, messages_per_second=0.01, delivery="stream"), Prices())
    used = quantities(bill)
    assert used["API Gateway: posts to members"] == pytest.approx(MONTH_S, rel=1e-3)
    assert used["Lambda: fan-out"] == pytest.approx(0.01 * MONTH_S, rel=1e-3)
    assert used["Lambda: fan-out, 1,769 MB"] == pytest.approx(0.01 * 0.025 * MONTH_S * 1769 / 1024, rel=1e-3)
    # 100 keys of 140 bytes are 4 times 4 KB, each half a unit.
    assert used["DynamoDB: reads of members by the fan-out"] == pytest.approx(0.02 * MONTH_S, rel=1e-3)
    # Table and index, the group's counter, the user's bucket; 12 of each connection made, one of each ping.
    assert used["DynamoDB: writes"] == pytest.approx((0.04 + 12 * 100 / 7_200 + 100 / 510) * MONTH_S)
    # 26,280 messages of 500 bytes, those of the last 30 days, twice.
    stored_gb = 26_280 * 500 * 30 / (365 / 12) / 1024**3
    assert used["DynamoDB: messages kept, and their index"] == pytest.approx(2 * stored_gb)


def test_a_key_of_the_customers_costs_a_dollar_and_its_requests() -> None:
    """36 callers of tables and 14 of queues ask every 300 s, whatever the load: $0.03 for 10,000 times."""
    aws_owned, customers = (
        dollars(estimate(Load(members=1, messages_per_second=0, customer_key=key), Prices()))
        for key in (False, True)
    )
    assert aws_owned["KMS: your key"] == aws_owned["KMS: requests"] == 0
    assert customers["KMS: your key"] == 1
    assert customers["KMS: requests"] == pytest.approx(50 * MONTH_S / 300 / 10_000 * 0.03)


def test_a_message_over_a_kilobyte_takes_more_write_units() -> None:
    """2,000 bytes and their attributes are 3 units, in the table and again in the index."""
    load = Load(members=1, messages_per_second=1, message_bytes=2_000)
    writes = quantities(estimate(load, Prices()))["DynamoDB: writes"]
    assert writes == pytest.approx((2 + 2 * 3 + 12 / 7_200 + 1 / 510) * MONTH_S)


def test_messages_that_arrive_between_two_polls_share_frames() -> None:
    """32/s in 8 lanes polled every 250 ms is one per poll on average: 1 - 1/e of the polls find any."""
    traffic = traffic_of(Load(members=10, messages_per_second=32, delivery="stream"))
    assert traffic.frames == pytest.approx(8 * (1 - 1 / math.e) / 0.25)
    assert traffic.packing == pytest.approx(1 / (1 - 1 / math.e))
    assert (traffic.wait_s, traffic.sustainable) == (0.25, True)


def test_packing_saves_the_difference_between_posts_and_deliveries() -> None:
    """At $1 a million, within the first tier."""
    load = Load(members=10, messages_per_second=32, hours_per_day=1, delivery="stream")
    bill = estimate(load, Prices())
    fewer = (bill.traffic.deliveries - bill.traffic.posts) * MONTH_S / 24
    assert bill.packing_saves_dollars == pytest.approx(fewer / 1e6)


def test_a_group_beyond_the_quota_is_served_later_in_fuller_frames() -> None:
    """50,000 deliveries/s with a quota of 10,000 requests/s, which all traffic respects."""
    load = Load(members=10_000, messages_per_second=5, delivery="stream", posts_per_second=0)
    traffic = traffic_of(load)
    assert traffic.sustainable
    assert traffic.posts + requests_in_per_second(load) == pytest.approx(10_000)
    assert traffic.posts_unlimited > 40_000
    # A lane gets 5/8 messages a second, so a frame of n of them takes about n x 1.6 s to fill.
    assert traffic.wait_s == pytest.approx(traffic.packing * 1.6, rel=0.01)
    assert traffic.workers_busy == 8


def test_a_higher_quota_ends_the_wait() -> None:
    """A message then waits only for the next poll, and costs more."""
    load = Load(members=10_000, messages_per_second=5, delivery="stream")
    roomy = dataclasses.replace(load, quota_per_second=100_000)
    traffic = traffic_of(roomy)
    assert (traffic.wait_s, traffic.posts) == (0.25, traffic.posts_unlimited)
    assert estimate(roomy, Prices()).dollars > estimate(load, Prices()).dollars


def test_an_impossible_load_is_reported() -> None:
    """A million members of one group and 500 messages a second: 5 million full frames a second."""
    traffic = traffic_of(Load(members=1_000_000, messages_per_second=500))
    assert not traffic.sustainable
    # 97 messages of 335 bytes fit 32 KB.
    assert traffic.packing == pytest.approx(97)


@given(
    st.builds(
        Load,
        members=st.integers(1_000, 1_000_000),
        groups=st.integers(1, 1_000),
        messages_per_second=st.floats(0.001, 10_000),
        message_bytes=st.integers(1, 16_384),
        quota_per_second=st.floats(100, 1_000_000),
        delivery=st.sampled_from(["lanes", "stream"]),
    )
)
def test_frames_hold_at_least_one_message_and_posts_keep_to_the_quota(load: Load) -> None:
    """For any load; and all costs are finite and not negative."""
    bill = estimate(load, Prices())
    traffic = bill.traffic
    assert traffic.packing >= 1 - 1e-9
    if traffic.sustainable:
        assert traffic.posts + requests_in_per_second(load) <= load.quota_per_second * (1 + 1e-9)
        assert traffic.posts <= load.budget_per_second * (1 + 1e-9)
    assert all(0 <= item.dollars < math.inf for item in bill.items)


def test_every_price_names_its_page_and_its_last_tier_has_no_end() -> None:
    """So that a maintainer knows the source."""
    table = Prices()
    prices = [getattr(table, name) for name in Prices.__slots__]
    assert all(
        isinstance(price, Price) and price.source.startswith("https://aws.amazon.com/") for price in prices
    )
    assert all(price.tiers[-1][0] == math.inf for price in prices)


def test_the_command_prints_an_aligned_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Dollars are aligned, and the total comes last."""
    said = cost("--members 10000 --messages-per-second 5 --groups 100", capsys)
    table = said.split("\n\n")[1].splitlines()
    assert len({len(line) for line in table}) == 1
    assert "total" in table[-1]
    assert "WARNING" not in said


def test_the_command_warns_of_the_quota(capsys: pytest.CaptureFixture[str]) -> None:
    """With the effect and the remedy."""
    said = cost("--members 10000 --messages-per-second 5 --delivery stream", capsys)
    assert "of them posts, are more than the 10,000 that an account may make in a region" in said
    assert "one up to 22.8 s after it was sent. Ask AWS for a higher quota" in said


def test_the_command_warns_where_no_quota_helps(capsys: pytest.CaptureFixture[str]) -> None:
    """Eight lanes that post 256 at a time for 10 s can't reach 10,000 members ten times a second."""
    arguments = "--members 10000 --messages-per-second 1000 --post-wait-ms 10000 --quota-per-second 10000000"
    said = cost(f"{arguments} --delivery stream", capsys)
    assert "are more than the lanes of 4 shards can post" in said
    assert "no packing makes them fit" in said
    assert "are more than 100 workers, one to a lane, can post" in cost(arguments, capsys)


def test_the_command_warns_of_the_budget(capsys: pytest.CaptureFixture[str]) -> None:
    """It is below the quota; without a budget only the quota counts."""
    load = "--members 2000 --messages-per-second 10 --quota-per-second 20000"
    said = cost(f"{load} --posts-per-second 5000", capsys)
    assert "are more than the 5,000 that postsPerSecond allows" in said
    assert "WARNING" not in cost(f"{load} --posts-per-second 0", capsys)


def test_a_million_quiet_members_fit(capsys: pytest.CaptureFixture[str]) -> None:
    """Their pings fit the route, and with connects the budget's rest; half as many again do not."""
    assert "WARNING" not in cost("--members 1000000 --messages-per-second 0", capsys)
    load = Load(members=1_000_000, messages_per_second=0)
    # One ping per 510 s, a connect and a join per two hours.
    assert requests_in_per_second(load) == pytest.approx(1_960.8 + 277.8, abs=0.1)
    said = cost("--members 1500000 --messages-per-second 0", capsys)
    assert "2,941 pings/s are more than the 2,000 that requestsPerSecond lets a route take" in said
    assert "3,358 requests/s of clients are more than the 3,000 that the budget leaves them" in said


def test_json_has_the_same_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """A missing warning is null."""
    said = json.loads(cost("--members 10 --messages-per-second 0.5 --json", capsys))
    assert said["dollars"] == pytest.approx(estimate(Load(10, 0.5), Prices()).dollars)
    assert said["dollars"] == pytest.approx(sum(item["dollars"] for item in said["items"]))
    assert said["load"]["groups"] == 1
    assert said["warning"] is None


def test_a_customers_key_is_listed_only_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    load = "--members 10 --messages-per-second 1"
    assert "KMS" not in cost(load, capsys)
    assert "your key" in cost(f"{load} --customer-key", capsys)


def test_no_messages_have_no_price_per_message(capsys: pytest.CaptureFixture[str]) -> None:
    said = json.loads(cost("--members 10 --messages-per-second 0 --json", capsys))
    assert said["dollars_per_million_messages"] is None


@pytest.mark.parametrize(
    ("arguments", "means"),
    [
        ("--members 0 --messages-per-second 1", "'0' is not a whole number from 1 to"),
        ("--members 1.5 --messages-per-second 1", "'1.5' is not a whole number"),
        ("--members 5 --messages-per-second nan", "'nan' is not a number from 0 to"),
        ("--members 5 --messages-per-second 1 --hours-per-day 25", "'25' is not a number from 0 to 24"),
        ("--members 5 --messages-per-second 1 --groups 6", "6 groups need as many members, there are 5"),
        ("--messages-per-second 1", "--members"),
    ],
)
def test_invalid_numbers_are_refused_with_the_valid_range(
    arguments: str, means: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By argparse, like other wrong usage."""
    with pytest.raises(SystemExit, match="2"):
        cost(arguments, capsys)
    assert means in capsys.readouterr().err


def cost(arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The output of `groupcast cost`."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    options = parser.parse_args(["cost", *arguments.split()])
    assert options.run(options) == 0
    return capsys.readouterr().out
