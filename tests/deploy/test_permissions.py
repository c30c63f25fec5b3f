"""IAM: every permission of every function is needed and is denied if missing."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import nullcontext
from http import HTTPStatus
from typing import TypeAlias

import pytest

from groupcast.fanout.budget import DEBT_POSTS, SMALL_MEMBERS
from groupcast.fanout.suspects import REFUSALS_MAX
from tests.deploy.bench import Bench
from tests.deploy.permissions import Grant, Roles
from tests.deploy.project import Stage

pytestmark = pytest.mark.timeout(120)

# Runs a function and returns whether it worked.
Act: TypeAlias = Callable[[], bool]
# Prepares everything and yields an action to run once.
Arrange: TypeAlias = Callable[[Bench], Act]

# connectionsPerUser of serverless.yml.
CONNECTIONS_MAX = 20
GATEWAY_POST = "POST/@connections/*"
GATEWAY_DELETE = "DELETE/@connections/*"


def connecting(bench: Bench) -> Act:
    return lambda: bench.connect(uuid.uuid4().hex) == HTTPStatus.OK


def connecting_once_more(bench: Bench) -> Act:
    """Succeeds if a user with the maximum of connections is refused and leaves no item."""
    user_id = str(uuid.uuid4())
    for _ in range(CONNECTIONS_MAX):
        assert bench.connect(uuid.uuid4().hex, user_id) == HTTPStatus.OK
    connection_id = uuid.uuid4().hex

    def act() -> bool:
        status = bench.connect(connection_id, user_id)
        return status == HTTPStatus.TOO_MANY_REQUESTS and not bench.is_known(connection_id)

    return act


def disconnecting(bench: Bench) -> Act:
    connection_id = bench.connected()
    return lambda: bench.disconnect(connection_id)


def disconnecting_in_a_group(bench: Bench) -> Act:
    connection_id = bench.connected(f"group-{uuid.uuid4()}")
    return lambda: bench.disconnect(connection_id)


def disconnecting_after_a_removal(bench: Bench) -> Act:
    """Succeeds if the membership is found that the fan-out left when it removed the connection."""
    connection_id = bench.connected(f"group-{uuid.uuid4()}")
    bench.remove(connection_id)
    return lambda: bench.disconnect(connection_id)


def renewing(bench: Bench) -> Act:
    connection_id = bench.renewable()
    return lambda: bench.renew(connection_id)


def renewing_in_a_group(bench: Bench) -> Act:
    connection_id = bench.renewable()
    assert bench.frame(connection_id, "joinGroup", groupId="group")
    return lambda: bench.renew(connection_id)


def renewing_without_a_right(bench: Bench) -> Act:
    """Succeeds if the connection leaves a group that its new token does not permit."""
    connection_id = bench.renewable(groups=("private-team",))
    assert bench.frame(connection_id, "joinGroup", groupId="private-team")
    return lambda: bench.renew(connection_id)


def marking(bench: Bench) -> Act:
    connection_id = bench.connected(f"group-{uuid.uuid4()}")
    assert bench.frame(connection_id, "sendMessage", message="read")
    return lambda: bench.frame(connection_id, "markRead", seq=1)


def rejoining(bench: Bench) -> Act:
    group_id = f"group-{uuid.uuid4()}"
    connection_id = bench.connected(group_id)
    assert bench.frame(connection_id, "sendMessage", message="missed")
    return lambda: bench.frame(connection_id, "joinGroup", groupId=group_id, since=0)


def alone(action: str, **fields: object) -> Arrange:
    """A frame of a connection in no group."""

    def arrange(bench: Bench) -> Act:
        connection_id = bench.connected()
        return lambda: bench.frame(connection_id, action, **fields)

    return arrange


def joined(action: str, **fields: object) -> Arrange:
    """A frame of a member of a group."""

    def arrange(bench: Bench) -> Act:
        connection_id = bench.connected(f"group-{uuid.uuid4()}")
        return lambda: bench.frame(connection_id, action, **fields)

    return arrange


def sending_with_an_id(bench: Bench) -> Act:
    return joined("sendMessage", message="hi", messageId=str(uuid.uuid4()))(bench)


def sending_express(bench: Bench) -> Act:
    """Succeeds if the sender has offered its message; nobody else uses DeliveryQueue meanwhile."""
    group_id = f"group-{uuid.uuid4()}"
    connection_id = bench.connected(group_id)

    def act() -> bool:
        with bench.paused():
            assert bench.frame(connection_id, "sendMessage", message="hi")
            return bench.waits(group_id)

    return act


def offering(bench: Bench) -> Act:
    return lambda: bench.offer(f"group-{uuid.uuid4()}")


def handing_over(bench: Bench) -> Act:
    group_id = f"group-{uuid.uuid4()}"
    bench.connected(group_id)
    return lambda: bench.fan_out(group_id)


def noting(bench: Bench) -> Act:
    """Succeeds if the group's item has the number of members afterwards."""
    group_id = bench.make_group()
    bench.connected(group_id)

    def act() -> bool:
        assert bench.fan_out(group_id)
        return bench.noted_members(group_id) == 1

    return act


def catching_up(bench: Bench) -> Act:
    """Succeeds if a pass over a backlog has taken the message behind its offers from the log."""
    group_id = bench.make_group()
    bench.store(group_id, 2)

    def act() -> bool:
        assert bench.work_off(group_id)
        return bench.served_to(group_id) == 2

    return act


def skipping_served_offers(bench: Bench) -> Act:
    """Succeeds if nothing is posted: the connection, unknown to the gateway, stays in the table."""
    group_id = bench.make_group()
    bench.note_served(group_id)
    connection_id = bench.connected(group_id)

    def act() -> bool:
        assert bench.fan_out(group_id, members=SMALL_MEMBERS + 1)
        return bench.is_known(connection_id)

    return act


def booking(bench: Bench) -> Act:
    """Succeeds if a large group's budget is booked; posts would also go out unbooked."""
    group_id = f"group-{uuid.uuid4()}"

    def act() -> bool:
        before = bench.booked_until_us()
        assert bench.fan_out(group_id, members=SMALL_MEMBERS + 1)
        return bench.booked_until_us() > before

    return act


def deleting_offers_early(bench: Bench) -> Act:
    """Succeeds if an offer is deleted while the function still closes expired connections."""
    group_id = f"group-{uuid.uuid4()}"
    bench.expire(bench.connected(group_id))

    def act() -> bool:
        with bench.paused():
            record = bench.received(group_id)
            assert bench.deliver(record)
            return not bench.is_held(record)

    return act


def releasing(bench: Bench) -> Act:
    """Succeeds if an offer whose leftovers no queue took becomes visible soon."""
    group_id = f"group-{uuid.uuid4()}"
    bench.connected(group_id)

    def act() -> bool:
        # A FIFO queue refuses leftovers, which have no deduplication id.
        no_retries = {"RETRY_QUEUE_URL": bench.queue_url("delivery.fifo")}
        with bench.environment("fanoutMessage", no_retries), bench.paused():
            assert not bench.deliver(bench.received(group_id))
            return bench.comes_again(group_id)

    return act


def removing_gone(bench: Bench) -> Act:
    """Succeeds if a connection unknown to the gateway is removed from the table."""
    group_id = f"group-{uuid.uuid4()}"
    connection_id = bench.connected(group_id)

    def act() -> bool:
        assert bench.fan_out(group_id)
        return not bench.is_known(connection_id)

    return act


def closing_expired(bench: Bench) -> Act:
    group_id = f"group-{uuid.uuid4()}"
    connection_id = bench.connected(group_id)
    bench.expire(connection_id)

    def act() -> bool:
        assert bench.fan_out(group_id)
        return not bench.is_known(connection_id)

    return act


def rejecting_malformed_records(bench: Bench) -> Act:
    return lambda: bench.offer("group", readable=False)


def finishing(bench: Bench) -> Act:
    """Succeeds if a gone connection that was owed a message is removed from the table."""
    connection_id = bench.connected()
    leftover = bench.leftover(connection_id)

    def act() -> bool:
        assert bench.finish(leftover)
        return not bench.is_known(connection_id)

    return act


def finishing_a_range(bench: Bench) -> Act:
    """The same for a slot range."""
    connection_id = bench.connected()
    leftover = bench.range_leftover(connection_id)

    def act() -> bool:
        assert bench.finish(leftover)
        return not bench.is_known(connection_id)

    return act


def booking_retries(bench: Bench) -> Act:
    leftover = bench.leftover(*(bench.connected() for _ in range(DEBT_POSTS)))

    def act() -> bool:
        before = bench.booked_until_us()
        assert bench.finish(leftover)
        return bench.booked_until_us() > before

    return act


def closing_slow(bench: Bench) -> Act:
    connection_id = bench.connected()
    leftover = bench.leftover(connection_id, refusals=REFUSALS_MAX - 1)
    return lambda: bench.finish(leftover) and not bench.is_known(connection_id)


def putting_back(bench: Bench) -> Act:
    leftover = bench.leftover(bench.connected())
    return lambda: bench.finish(leftover)


def rejecting_malformed_leftovers(bench: Bench) -> Act:
    return lambda: bench.finish("nonsense")


PROOFS: dict[Grant, Arrange] = {
    Grant("connect", "dynamodb:PutItem", "connections"): connecting,
    Grant("connect", "dynamodb:UpdateItem", "quotas"): connecting,
    Grant("connect", "dynamodb:BatchGetItem", "connections"): connecting_once_more,
    Grant("connect", "dynamodb:DeleteItem", "connections"): connecting_once_more,
    Grant("disconnect", "dynamodb:DeleteItem", "connections"): disconnecting,
    Grant("disconnect", "dynamodb:BatchWriteItem", "connections"): disconnecting_in_a_group,
    Grant("disconnect", "dynamodb:Query", "connections"): disconnecting_after_a_removal,
    Grant("disconnect", "dynamodb:UpdateItem", "quotas"): disconnecting,
    Grant("joinGroup", "dynamodb:GetItem", "connections"): alone("joinGroup", groupId="group"),
    Grant("joinGroup", "dynamodb:UpdateItem", "connections"): alone("joinGroup", groupId="group"),
    Grant("joinGroup", "dynamodb:PutItem", "connections"): alone("joinGroup", groupId="group"),
    Grant("joinGroup", "dynamodb:DeleteItem", "connections"): joined("joinGroup", groupId="group"),
    Grant("joinGroup", "dynamodb:BatchGetItem", "groups"): alone("joinGroup", groupId="group"),
    Grant("joinGroup", "dynamodb:BatchGetItem", "read-marks"): alone("joinGroup", groupId="group"),
    Grant("joinGroup", "dynamodb:Query", "messages/index/GroupSeqIndex"): rejoining,
    Grant("joinGroup", "dynamodb:UpdateItem", "quotas"): alone("joinGroup", groupId="group"),
    Grant("leaveGroup", "dynamodb:GetItem", "connections"): joined("leaveGroup"),
    Grant("leaveGroup", "dynamodb:UpdateItem", "connections"): joined("leaveGroup"),
    Grant("leaveGroup", "dynamodb:DeleteItem", "connections"): joined("leaveGroup"),
    Grant("leaveGroup", "dynamodb:UpdateItem", "quotas"): joined("leaveGroup"),
    Grant("sendMessage", "dynamodb:GetItem", "connections"): joined("sendMessage", message="hi"),
    Grant("sendMessage", "dynamodb:UpdateItem", "quotas"): joined("sendMessage", message="hi"),
    Grant("sendMessage", "dynamodb:UpdateItem", "groups"): joined("sendMessage", message="hi"),
    Grant("sendMessage", "dynamodb:PutItem", "messages"): joined("sendMessage", message="hi"),
    Grant("sendMessage", "dynamodb:GetItem", "messages"): sending_with_an_id,
    Grant("sendMessage", "sqs:SendMessage", "delivery.fifo"): sending_express,
    Grant("history", "dynamodb:GetItem", "connections"): joined("history"),
    Grant("history", "dynamodb:GetItem", "groups"): joined("history", since=0),
    Grant("history", "dynamodb:UpdateItem", "quotas"): joined("history"),
    Grant("history", "dynamodb:Query", "messages/index/GroupSeqIndex"): joined("history"),
    Grant("ping", "dynamodb:GetItem", "connections"): joined("ping"),
    Grant("ping", "dynamodb:BatchGetItem", "groups"): joined("ping"),
    Grant("ping", "dynamodb:BatchGetItem", "read-marks"): joined("ping"),
    Grant("ping", "dynamodb:UpdateItem", "quotas"): joined("ping"),
    Grant("markRead", "dynamodb:GetItem", "connections"): marking,
    Grant("markRead", "dynamodb:GetItem", "groups"): marking,
    Grant("markRead", "dynamodb:UpdateItem", "read-marks"): marking,
    Grant("markRead", "dynamodb:UpdateItem", "quotas"): marking,
    Grant("renew", "dynamodb:GetItem", "connections"): renewing,
    Grant("renew", "dynamodb:UpdateItem", "quotas"): renewing,
    Grant("renew", "dynamodb:UpdateItem", "connections"): renewing,
    Grant("renew", "dynamodb:PutItem", "connections"): renewing_in_a_group,
    Grant("renew", "dynamodb:DeleteItem", "connections"): renewing_without_a_right,
    Grant("fanoutMessage", "sqs:SendMessage", "delivery.fifo"): offering,
    Grant("fanoutMessage", "dynamodb:Query", "connections/index/GroupIdIndex"): removing_gone,
    Grant("fanoutMessage", "dynamodb:UpdateItem", "groups"): noting,
    Grant("fanoutMessage", "dynamodb:GetItem", "groups"): skipping_served_offers,
    Grant("fanoutMessage", "dynamodb:Query", "messages/index/GroupSeqIndex"): catching_up,
    Grant("fanoutMessage", "dynamodb:UpdateItem", "quotas"): booking,
    Grant("fanoutMessage", "sqs:DeleteMessage", "delivery.fifo"): deleting_offers_early,
    Grant("fanoutMessage", "sqs:ChangeMessageVisibility", "delivery.fifo"): releasing,
    Grant("fanoutMessage", "execute-api:ManageConnections", GATEWAY_POST): removing_gone,
    Grant("fanoutMessage", "dynamodb:BatchWriteItem", "connections"): removing_gone,
    # If the lookup fails, the connection gets another try before its removal.
    Grant("fanoutMessage", "dynamodb:BatchGetItem", "connections"): removing_gone,
    Grant("fanoutMessage", "dynamodb:BatchGetItem", "quotas"): removing_gone,
    Grant("fanoutMessage", "execute-api:ManageConnections", GATEWAY_DELETE): closing_expired,
    Grant("fanoutMessage", "sqs:SendMessage", "retry"): handing_over,
    Grant("fanoutMessage", "sqs:SendMessage", "fanout-failures"): rejecting_malformed_records,
    Grant("fanoutRetry", "dynamodb:BatchGetItem", "messages"): finishing,
    Grant("fanoutRetry", "dynamodb:BatchGetItem", "connections"): finishing,
    Grant("fanoutRetry", "dynamodb:Query", "connections/index/GroupIdIndex"): finishing_a_range,
    Grant("fanoutRetry", "dynamodb:UpdateItem", "quotas"): booking_retries,
    Grant("fanoutRetry", "dynamodb:BatchGetItem", "quotas"): finishing,
    Grant("fanoutRetry", "execute-api:ManageConnections", GATEWAY_POST): finishing,
    Grant("fanoutRetry", "dynamodb:BatchWriteItem", "connections"): finishing,
    Grant("fanoutRetry", "execute-api:ManageConnections", GATEWAY_DELETE): closing_slow,
    Grant("fanoutRetry", "sqs:SendMessage", "retry"): putting_back,
    Grant("fanoutRetry", "sqs:SendMessage", "fanout-failures"): rejecting_malformed_leftovers,
}
# Calls made only if API Gateway refuses posts, which the emulator never does by itself.
REFUSING = {
    Grant("fanoutMessage", "sqs:SendMessage", "retry"): HTTPStatus.SERVICE_UNAVAILABLE,
    Grant("fanoutMessage", "sqs:ChangeMessageVisibility", "delivery.fifo"): HTTPStatus.SERVICE_UNAVAILABLE,
    Grant("fanoutRetry", "sqs:SendMessage", "retry"): HTTPStatus.SERVICE_UNAVAILABLE,
    # A client that is always too slow.
    Grant("fanoutRetry", "execute-api:ManageConnections", GATEWAY_DELETE): HTTPStatus.TOO_MANY_REQUESTS,
}
# The emulator does these without checking permissions: Lambda's polling, the functions' logs, X-Ray's daemon.
NOT_ENFORCED = {
    *("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"),
    *("sqs:ReceiveMessage", "sqs:GetQueueAttributes"),
    *("logs:CreateLogStream", "logs:PutLogEvents"),
    *("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
}
# Likewise; the other function also deletes messages itself.
ONLY_FOR_POLLING = {Grant("fanoutRetry", "sqs:DeleteMessage", "retry")}


@pytest.fixture(scope="module")
def roles(stage: Stage) -> Roles:
    return Roles(stage)


def test_every_permission_is_proven_here(roles: Roles) -> None:
    """The functions' permissions are those the table below removes, plus unchecked ones."""
    enforced = {grant for grant in roles.grants() if grant.action not in NOT_ENFORCED}
    assert enforced - ONLY_FOR_POLLING == set(PROOFS)


def test_every_function_has_a_role_of_its_own(roles: Roles) -> None:
    assert len(set(roles.by_function.values())) == len(roles.by_function)


@pytest.mark.parametrize("grant", PROOFS, ids=str)
def test_a_function_fails_without_the_permission(bench: Bench, roles: Roles, grant: Grant) -> None:
    """With all permissions it works; without this one it fails, and IAM has denied exactly this one."""
    gateway = bench.gateway_answers(grant.function, REFUSING[grant]) if grant in REFUSING else nullcontext()
    with gateway:
        act, act_without = PROOFS[grant](bench), PROOFS[grant](bench)
        seen = roles.decided()
        assert act()
        assert roles.denied(grant.function, seen) == set()
        with roles.without(grant):
            assert not act_without()
        assert roles.denied(grant.function, seen) == {grant}
