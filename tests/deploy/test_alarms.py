"""Faults of a deployed stage reach their alarms, under the metric names the alarms watch.

CloudWatch's arithmetic over several metrics is not tested, since the emulator has none. Neither does it have
metrics of SQS, DynamoDB and API Gateway; tests/template compares those with AWS's documentation.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http import HTTPStatus
from typing import TypeAlias

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.service.template import parse_yaml
from tests.deploy.alarms import Alarms
from tests.deploy.bench import Bench
from tests.deploy.emulator import ROOT
from tests.deploy.permissions import Grant, Roles
from tests.deploy.project import Stage
from tests.deploy.users import Users

pytestmark = pytest.mark.timeout(120)

FUNCTIONS = list(parse_yaml((ROOT / "serverless.yml").read_text())["functions"])
# Alarms for errors and for throttles; functions not listed have those of routes.
WATCHED_BY = {
    "authorize": ("SignInsFail", "SignInsAreThrottled"),
    "fanoutMessage": ("FanoutFails", "FanoutIsThrottled"),
    "fanoutRetry": ("RetriesFail", "RetriesAreThrottled"),
}
OF_ROUTES = ("RoutesFail", "RoutesAreThrottled")
SEVERAL = {*OF_ROUTES, "SignInsFail", "ReadsAreThrottled", "WritesAreThrottled"}
TRIES = 10


@pytest.fixture(scope="module")
def alarms(stage: Stage) -> Alarms:
    return Alarms(stage)


@pytest.fixture(scope="module")
def roles(stage: Stage) -> Roles:
    return Roles(stage)


def seen_by(alarms: Alarms, act: Callable[[], object], expected: Mapping[str, float]) -> dict[str, float]:
    """The increases of all alarms' metrics after `act`, which repeats until the expected ones rise.

    A function's log becomes readable at its next invocation.
    """
    before = alarms.seen()
    for _ in range(TRIES):
        act()
        after = alarms.seen()
        more = {name: after[name] - before[name] for name in after}
        if all(more[name] >= least for name, least in expected.items()):
            break
    assert {name: more[name] for name, least in expected.items() if more[name] < least} == {}
    return more


def test_each_failing_function_reaches_its_alarm(alarms: Alarms, bench: Bench) -> None:
    """The event is one that no handler can read."""

    def act() -> None:
        for name in FUNCTIONS:
            assert bench.invoke(name, []) is None

    seen_by(alarms, act, Counter(WATCHED_BY.get(name, OF_ROUTES)[0] for name in FUNCTIONS))


def test_each_throttled_function_reaches_its_alarm(alarms: Alarms, bench: Bench, stage: Stage) -> None:
    """Its reserved concurrency is used up."""
    once = stage.emulator.client("lambda", Config(retries={"total_max_attempts": 1}))

    def act() -> None:
        for name in map(stage.resource, FUNCTIONS):
            once.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
            try:
                with pytest.raises(ClientError, match="TooManyRequestsException"):
                    once.invoke(FunctionName=name, Payload="{}")
            finally:
                once.delete_function_concurrency(FunctionName=name)

    with bench.paused():
        seen_by(alarms, act, Counter(WATCHED_BY.get(name, OF_ROUTES)[1] for name in FUNCTIONS))


def test_a_refused_sign_in_is_not_a_failed_one(alarms: Alarms, bench: Bench, stage: Stage) -> None:
    """An unknown token makes `authorize` raise, a refused name does not; neither hides a failure."""
    # The first letter is Cyrillic.
    look_alike = Users(stage).add("\u0430nn").token()
    refusals = iter([True])

    def act() -> None:
        if next(refusals, False):
            assert bench.authorize("nonsense") is None
            (statement,) = bench.authorize(look_alike)["policyDocument"]["Statement"]
            assert statement["Effect"] == "Deny"
        assert bench.authorize(bench.token()) is not None

    more = seen_by(alarms, act, {"SignInsAreRefused": 2})
    assert (more["SignInsAreRefused"], more["SignInsFail"]) == (2, 0)


@contextmanager
def unreadable_connections(bench: Bench, roles: Roles) -> Iterator[Callable[[], object]]:
    connection_id = bench.connected()
    with roles.without(Grant("ping", "dynamodb:GetItem", "connections")):
        yield lambda: bench.frame(connection_id, "ping")


@contextmanager
def offers_denied(bench: Bench, roles: Roles) -> Iterator[Callable[[], object]]:
    connection_id = bench.connected(f"group-{uuid.uuid4()}")
    with roles.without(Grant("sendMessage", "sqs:SendMessage", "delivery.fifo")):
        yield lambda: bench.frame(connection_id, "sendMessage", message="hi")


@contextmanager
def posts_answered(bench: Bench, status: HTTPStatus) -> Iterator[Callable[[], object]]:
    """The message is days old."""
    group_id = f"group-{uuid.uuid4()}"
    bench.connected(group_id)
    with bench.paused(), bench.gateway_answers("fanoutMessage", status, "Too Many Requests"):
        yield lambda: bench.fan_out(group_id)


Fault: TypeAlias = Callable[[Bench, Roles], AbstractContextManager[Callable[[], object]]]
FAULTS: dict[str, tuple[Fault, float]] = {
    "FramesFail": (unreadable_connections, 1),
    "ExpressFails": (offers_denied, 1),
    "DeliveryIsSlow": (lambda bench, _: posts_answered(bench, HTTPStatus.OK), 2_000),
    "PostsAreThrottled": (lambda bench, _: posts_answered(bench, HTTPStatus.TOO_MANY_REQUESTS), 1),
    "SignInsAreRefused": (lambda bench, _: nullcontext(lambda: bench.authorize("nonsense")), 1),
}


@pytest.mark.parametrize("alarm", FAULTS)
def test_our_own_metrics_match_their_alarms(alarms: Alarms, bench: Bench, roles: Roles, alarm: str) -> None:
    """By namespace, name and dimensions, for the fault that the alarm watches."""
    fault, least = FAULTS[alarm]
    with fault(bench, roles) as act:
        seen_by(alarms, act, {alarm: least})


def test_every_metric_of_ours_has_a_fault_above(alarms: Alarms) -> None:
    """An alarm on a new metric needs a fault above."""
    ours = {name for name in alarms if alarms.metrics(name)[0].namespace == "groupcast"}
    assert ours == set(FAULTS)


def test_alarms_ring_above_their_thresholds(alarms: Alarms) -> None:
    """For alarms over one metric; they stay silent at the threshold itself."""
    for name in alarms:
        if name.rstrip("0123456789") in SEVERAL:
            continue
        alarms.put(name, alarms.threshold(name) + 1)
        assert alarms.state(name) == "ALARM", name
