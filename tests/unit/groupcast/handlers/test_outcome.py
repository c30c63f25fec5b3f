"""The result of a fan-out: its answer to Lambda, its log line, its metrics and its trace."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from groupcast.fanout.leftover import Leftover
from groupcast.fanout.report import Closed, GroupReport, Offered, Rejected, Report, Result
from groupcast.handlers.outcome import conclude
from groupcast.slots import SlotRange
from tests.unit.groupcast.functions import Metric, Output

# Each count of the first group; the second has ten thousand times as many.
COUNTED: dict[str, int] = {
    "members": 2,
    "pages": 3,
    "posts": 5,
    "booked": 7,
    "delivered": 11,
    "gone": 13,
    "gone_false": 17,
    "refused": 19,
    "handed_off": 23,
    "throttled": 29,
    "full": 31,
    "retried": 37,
    "slow_closed": 41,
}
SECOND = 10_000
OFFERED = Offered(
    groups=2, messages=3, express=1, offers=5, untaken=7, rejected=(Rejected("100", "why"),), again=("99",)
)


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Output:
    made = Output(capsys)
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", made.service)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "groupcast")
    return made


def groups() -> list[GroupReport]:
    first: dict[str, Any] = COUNTED
    second: dict[str, Any] = {name: SECOND * count for name, count in COUNTED.items()}
    unread = tuple(Leftover("b", ("1",), slots=SlotRange(n, n)) for n in range(3))
    return [
        GroupReport("a", 1, ("1",), SlotRange(0, 63), **first, budget_wait_ms=1.25, refusals={"413": 1}),
        GroupReport("b", 1, ("2",), None, **second, budget_wait_ms=2.5, error="OSError", unread=unread),
    ]


def result() -> Result:
    report = Report(
        groups(),
        delivery_ms=[1.5, 20.25],
        delivery_ms_max=20.25,
        window=64,
        expired=dict.fromkeys(["c", "d"], "g"),
        closed=Closed(["c"], Counter({"ForbiddenException": 1})),
    )
    return Result(report, (Rejected("3", "why"),), ("2", "3"), offers=4, offer_age_ms=77)


def test_every_metric_of_a_fan_out(output: Output) -> None:
    """Sums over all groups, with the units and the one dimension that alarms and the dashboard ask for."""
    conclude(result)
    dimensions = {"service": output.service}
    counts = {name: count + SECOND * count for name, count in COUNTED.items()}
    counts |= {"lanes": 1, "ranges": 3, "expired": 2, "rejected": 1}
    times = {"budget_wait_ms": [3.75], "offer_age_ms": [77.0], "delivery_ms": [1.5, 20.25]}
    expected = [Metric(name, "Count", [count], dimensions) for name, count in counts.items()]
    expected += [Metric(name, "Milliseconds", values, dimensions) for name, values in times.items()]
    by_name: Callable[[Metric], str] = lambda metric: metric.name  # noqa: E731 - a key
    assert sorted(output.read().metrics, key=by_name) == sorted(expected, key=by_name)


def test_the_log_line_of_a_fan_out(output: Output) -> None:
    """It has the counts again, and the reasons that no metric has."""
    assert conclude(result) == {"batchItemFailures": [{"itemIdentifier": "2"}, {"itemIdentifier": "3"}]}
    (line,) = output.read().logs.values()
    assert (line["message"], line["level"]) == ("fan-out", "INFO")
    assert {name: line[name] for name in COUNTED} == {
        name: count + SECOND * count for name, count in COUNTED.items()
    }
    more = {
        "lanes": 1,
        "ranges": 3,
        "groups": 2,
        "slots": [[0, 63]],
        "offers": 4,
        "offer_age_ms": 77,
        "budget_wait_ms": 3.8,
        "delivery_ms_max": 20.2,
        "expired": 2,
        "closed": 1,
        "close_refusals": {"ForbiddenException": 1},
        "window": 64,
        "refusals": [{"413": 1}],
        "errors": ["OSError"],
        "rejected": [{"item": "3", "reason": "why"}],
        "again": ["2", "3"],
    }
    assert {name: line[name] for name in more} == more


def test_what_was_not_measured_is_no_metric(output: Output) -> None:
    """Without a queue there is no age of offers, and without an accepted post no delivery."""
    empty = replace(result(), report=Report(), offer_age_ms=None)
    conclude(lambda: empty)
    values = output.read().values
    assert not {"offer_age_ms", "delivery_ms"} & set(values)
    assert values["delivered"] == [0.0]


def test_offers(output: Output) -> None:
    """A batch of the stream that was offered has metrics and a log line of its own."""
    assert conclude(lambda: OFFERED) == {"batchItemFailures": [{"itemIdentifier": "99"}]}
    said = output.read()
    counts = {"offered": 3, "express": 1, "offers_failed": 7, "rejected": 1}
    dimensions = {"service": output.service}
    assert said.metrics == [Metric(name, "Count", [value], dimensions) for name, value in counts.items()]
    line = said.logs["offers"]
    more = {
        "level": "INFO",
        "groups": 2,
        "messages": 3,
        "express": 1,
        "offers": 5,
        "untaken": 7,
        "rejected": [{"item": "100", "reason": "why"}],
        "again": ["99"],
    }
    assert {name: line[name] for name in more} == more


def test_metrics_are_not_carried_over(output: Output) -> None:
    """An environment serves many batches: each counts what it did alone."""
    for _ in range(2):
        conclude(result)
        assert output.read().values["delivery_ms"] == [1.5, 20.25]


def test_a_delivery_that_raises_says_nothing(output: Output) -> None:
    """Lambda counts the error and delivers the batch again."""

    def broken() -> Result:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        conclude(broken)
    said = output.read()
    assert (said.logs, said.metrics) == ({}, [])


def test_a_fan_out_is_a_subsegment_of_its_trace(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """X-Ray can be searched by what it did."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(5)
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", f"127.0.0.1:{daemon.getsockname()[1]}")
        monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-2-3;Parent=4;Sampled=1")
        conclude(result)
        segment = json.loads(daemon.recv(65_536).partition(b"\n")[2])
    assert (segment["name"], segment["trace_id"], segment["parent_id"]) == ("fan-out", "1-2-3", "4")
    assert 0 <= segment["end_time"] - segment["start_time"] < 5
    assert segment["annotations"] == {
        "members": 20_002,
        "delivered": 110_011,
        "gone": 130_013,
        "handed_off": 230_023,
        "delivery_ms_max": 20.2,
    }
