"""How changes of a connection end where DynamoDB cancels them; DynamoDB Local never throttles."""

from __future__ import annotations

from typing import Any

import pytest

from groupcast.errors import Code
from groupcast.model import Member
from groupcast.tables.connections import ChangedError, Connections, ThrottledError

MEMBER = Member("c1=", "ann", ("a",), user_id="u1", expires_at_s=1)


class Cancelled(Exception):  # noqa: N818 - the SDK's name is longer
    def __init__(self, *codes: str, item: bool = True) -> None:
        super().__init__(*codes)
        reasons = [{"Code": code, "Item": {"connectionId": {"S": "c1="}} if item else {}} for code in codes]
        self.response = {"CancellationReasons": reasons}


class Conflict(Exception):  # noqa: N818 - as above
    pass


class FakeDynamoDB:
    """Raises `errors`, one for each write, and then answers."""

    class exceptions:  # noqa: N801 - the SDK's name
        TransactionCanceledException = Cancelled
        TransactionConflictException = Conflict

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.deleted = 0

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    async def transact_write_items(self, **_: Any) -> None:
        self._fail()

    async def delete_item(self, **_: Any) -> dict[str, Any]:
        self._fail()
        self.deleted += 1
        return {}

    async def query(self, **_: Any) -> dict[str, Any]:
        return {"Items": []}


@pytest.mark.parametrize(
    ("cancelled", "error", "code"),
    [
        (Cancelled("None", "ThrottlingError"), ThrottledError, Code.RATE_LIMITED),
        (
            Cancelled("TransactionConflict", "ProvisionedThroughputExceeded"),
            ThrottledError,
            Code.RATE_LIMITED,
        ),
        (Cancelled("ConditionalCheckFailed", "None"), ChangedError, Code.CONFLICT),
        (Cancelled("TransactionConflict"), ChangedError, Code.CONFLICT),
    ],
)
async def test_a_cancelled_change_says_whether_to_try_again(
    cancelled: Cancelled, error: type[Exception], code: Code
) -> None:
    """Throttled ones are RateLimited, and those that another change overtook are decided anew."""
    with pytest.raises(error) as caught:
        await Connections(FakeDynamoDB(cancelled), "t").change_groups(MEMBER, ["b"], ["b"])
    assert getattr(caught.value, "code", None) is code


async def test_a_connection_that_is_gone_cannot_be_changed() -> None:
    """And need not be read again."""
    gone = Cancelled("ConditionalCheckFailed", item=False)
    with pytest.raises(Exception, match="no longer registered") as caught:
        await Connections(FakeDynamoDB(gone), "t").change_groups(MEMBER, ["b"], ["b"])
    assert not isinstance(caught.value, ChangedError)


async def test_other_reasons_are_raised_as_they_are() -> None:
    """They are defects."""
    with pytest.raises(Cancelled):
        await Connections(FakeDynamoDB(Cancelled("ValidationError")), "t").change_groups(MEMBER, ["b"], ["b"])


async def test_a_disconnect_waits_for_a_transaction() -> None:
    """DynamoDB refuses to delete an item that a transaction is writing."""
    dynamodb = FakeDynamoDB(Conflict(), Conflict())
    assert await Connections(dynamodb, "t").remove("c1=") is None
    assert dynamodb.deleted == 1
    with pytest.raises(Conflict):
        await Connections(FakeDynamoDB(*[Conflict()] * 5), "t").remove("c1=")
