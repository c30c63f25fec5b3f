"""`groupcast cost`: the bill of a month as a table or as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

from groupcast_cli.arguments import DefaultsFormatter
from groupcast_cli.cost.estimate import Estimate, estimate
from groupcast_cli.cost.lanes import DELIVERY_CONCURRENCY
from groupcast_cli.cost.load import BUDGET_SHARE, Load
from groupcast_cli.cost.model import client_limits, requests_in_per_second
from groupcast_cli.cost.prices import AS_OF, REGION, Prices
from groupcast_cli.terminal import show, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from groupcast_cli.cost.model import Traffic

RIGHT = ("quantity", "a month")
MAX_MESSAGE_BYTES = 16 * 1024
MAX_COUNT = 100_000_000
HOURS_A_DAY = 24
LARGE, SMALL_DOLLARS = 1_000_000, 0.01


def add_parser(commands: Any) -> None:
    """Add `cost` to the subparsers of the `groupcast` command."""
    parser = commands.add_parser(
        "cost",
        help="estimate the monthly costs on AWS",
        description=f"Estimate monthly costs on AWS in {REGION}, at prices of {AS_OF}, without free tiers.",
        formatter_class=DefaultsFormatter,
    )
    whole = _number(int, 1, MAX_COUNT)
    for name, kind, means in (
        ("members", whole, "members connected at the same time, over all groups"),
        ("messages-per-second", _number(float, 0, 1e6), "messages a second, over all groups"),
    ):
        # Suppressed is the help's "default: None", not the error where it is missing.
        parser.add_argument(
            f"--{name}", type=kind, metavar="N", required=True, default=argparse.SUPPRESS, help=means
        )
    parser.add_argument(
        "--delivery", choices=("lanes", "stream"), default="lanes", help="the stage's parameter delivery"
    )
    parser.add_argument(
        "--posts-per-second",
        type=_number(float, 0, 1e7),
        # Left out of the options where it is not given.
        metavar="N",
        default=argparse.SUPPRESS,
        help="the stage's parameter postsPerSecond; 0: no limit "
        f"(default: {BUDGET_SHARE * 100:.0f} %% of the quota)",
    )
    default = {field.name: field.default for field in dataclasses.fields(Load)}
    for name, kind, means in (
        ("groups", whole, "groups, of equal size and traffic"),
        ("message-bytes", _number(int, 1, MAX_MESSAGE_BYTES), "bytes of a message's text"),
        ("hours-per-day", _number(float, 0, HOURS_A_DAY), "hours in which members are connected and write"),
        ("retention-days", _number(float, 0, 36_500), "days that messages are kept"),
        ("quota-per-second", _number(float, 1, 1e7), "API Gateway's quota, of an account and region"),
        ("post-cpu-ms", _number(float, 0, 1_000), "CPU time of a post; measured"),
        ("post-wait-ms", _number(float, 0, 10_000), "time until API Gateway answers a post; assumed"),
        ("route-ms", _number(float, 0, 10_000), "duration of a route's function; assumed"),
        ("ping-interval-s", _number(float, 1, 600), "time between two pings of a client"),
        ("stream-shards", _number(int, 1, 10_000), "shards of the stream of Messages; AWS begins with 4"),
    ):
        given: Any = default[name.replace("-", "_")]
        parser.add_argument(f"--{name}", type=kind, metavar="N", default=given, help=means)
    parser.add_argument(
        "--customer-key",
        action="store_true",
        help="encrypt tables and queues with a KMS key of yours (kmsKeyArn)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.set_defaults(run=_run, parser=parser)


def _run(options: argparse.Namespace) -> int:
    given = vars(options)
    load = Load(
        **{field.name: given[field.name] for field in dataclasses.fields(Load) if field.name in given}
    )
    if load.members < load.groups:
        options.parser.error(f"--groups: {load.groups} groups need as many members, there are {load.members}")
    bill = estimate(load, Prices())
    if options.json:
        print(json.dumps(as_json(load, bill)))
    else:
        print_bill(load, bill)
    return 0


def as_json(load: Load, bill: Estimate) -> dict[str, Any]:
    """The whole estimate; `warning` is null where the quota suffices."""
    return {
        "region": REGION,
        "prices_as_of": AS_OF,
        "load": dataclasses.asdict(load),
        "items": [dataclasses.asdict(item) for item in bill.items],
        "dollars": bill.dollars,
        "dollars_per_million_messages": _per_million(bill.dollars, bill.messages),
        "dollars_per_million_deliveries": _per_million(bill.dollars, bill.deliveries),
        "packing_saves_dollars": bill.packing_saves_dollars,
        "traffic": {
            **dataclasses.asdict(bill.traffic),
            "packing": bill.traffic.packing,
            "late_s": bill.traffic.late_s,
        },
        "warning": warning(load, bill),
    }


def print_bill(load: Load, bill: Estimate) -> None:
    """Print a table of all costs and the total, and the traffic behind them."""
    rows = [
        (item.service, item.what, _count(item.quantity), item.unit, _dollars(item.dollars))
        for item in bill.items
        if item.quantity
    ]
    total = ("", "total", "", "", _dollars(bill.dollars))
    show(f"{_headline(load)}\n")
    show(table("service", "item", "quantity", "unit", "a month", right=RIGHT, rows=rows, footer=total))
    show("\n".join(["", *_summary(load, bill)]))


def warning(load: Load, bill: Estimate) -> str | None:
    """What it means where a load needs more than there is; None where it fits."""
    problems = [f"{problem}." for problem in client_limits(load)]
    return " ".join(filter(None, (_fanout_warning(load, bill.traffic), *problems))) or None


def _fanout_warning(load: Load, traffic: Traffic) -> str | None:
    if traffic.limit == "none":
        return None
    if traffic.limit == "requests":
        return f"{_too_many_requests(load, traffic)}{_what_follows(traffic, 'Ask AWS for a higher quota')}"
    workers = (
        f"the lanes of {load.stream_shards} shards can post"
        if load.delivery == "stream"
        else f"{DELIVERY_CONCURRENCY} workers, one to a lane, can post"
    )
    problem = f"{traffic.deliveries:,.0f} deliveries/s, each by itself, are more than {workers}"
    return f"{problem}{_what_follows(traffic, 'Spread members over more groups')}"


def _too_many_requests(load: Load, traffic: Traffic) -> str:
    needed = requests_in_per_second(load) + traffic.posts_unlimited
    if needed <= load.quota_per_second:
        return (
            f"{traffic.posts_unlimited:,.0f} posts/s are more than the {load.budget_per_second:,.0f} that "
            "postsPerSecond allows"
        )
    return (
        f"{needed:,.0f} requests/s, {traffic.posts_unlimited:,.0f} of them posts, are more than the "
        f"{load.quota_per_second:,.0f} that an account may make in a region"
    )


def _what_follows(traffic: Traffic, advice: str) -> str:
    if traffic.sustainable:
        return (
            f": {traffic.packing:.1f} messages travel in a frame, and the last member has one up to "
            f"{traffic.late_s:.1f} s after it was sent. {advice}; --quota-per-second shows what one changes."
            if traffic.limit == "requests"
            else f": the last member has a message up to {traffic.late_s:.1f} s after it was sent. {advice}."
        )
    return (
        ", and no packing makes them fit: messages come in faster than they go out, and are given up in the "
        f"end. The bill holds where there is enough of it. {advice} first."
    )


def _headline(load: Load) -> str:
    groups = "1 group" if load.groups == 1 else f"{load.groups:,} groups"
    return (
        f"{REGION}, prices of {AS_OF}, no free tier: {load.members:,} members in {groups}, "
        f"{load.messages_per_second:g} messages/s of {load.message_bytes:,} bytes, "
        f"{load.hours_per_day:g} h a day"
    )


def _summary(load: Load, bill: Estimate) -> list[str]:
    traffic, lines = bill.traffic, []
    if bill.messages:
        a_million_messages = _dollars(_per_million(bill.dollars, bill.messages))
        a_million_deliveries = _dollars(_per_million(bill.dollars, bill.deliveries))
        lines = [
            f"A million messages cost {a_million_messages}, a million deliveries {a_million_deliveries}.",
            f"{traffic.deliveries:,.0f} deliveries/s take {traffic.posts:,.0f} posts/s.",
            f"{traffic.packing:.2f} messages to a frame save {_dollars(bill.packing_saves_dollars)} a month.",
            f"A message waits up to {traffic.wait_s:.2f} s, then its fan-out takes {traffic.pass_s:.2f} s.",
        ]
    warned = warning(load, bill)
    return [*lines, f"WARNING: {warned}"] if warned else lines


def _per_million(dollars: float, count: float) -> float | None:
    return dollars / count * 1_000_000 if count else None


def _count(quantity: float) -> str:
    return f"{quantity / 1e6:,.2f} M" if quantity >= LARGE else f"{quantity:,.2f}".rstrip("0").rstrip(".")


def _dollars(dollars: float | None) -> str:
    if dollars is None:
        return "-"
    return f"${dollars:,.2f}" if dollars == 0 or dollars >= SMALL_DOLLARS else f"${dollars:.2g}"


def _number(kind: type[int | float], low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = kind(-1)
        if not math.isfinite(number) or not low <= number <= high:
            a = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {a} from {low:,g} to {high:,g}")
        return number

    return parse
