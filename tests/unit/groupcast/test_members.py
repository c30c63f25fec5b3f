"""Reading a group and removing who is gone, against DynamoDB's answers as a fake gives them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from groupcast.aws.errors import ServiceError
from groupcast.tables.members import DELETE_BATCH, DELETES_AT_ONCE, HELD_MAX, MembersTable


class FakeTable:
    """A table of connection ids; `refuse` items of each batch come back unprocessed the first time.

    `until` is when the sign-in of some ends, in seconds.
    """

    def __init__(
        self, ids: list[str], refuse: int = 0, broken: bool = False, until: Mapping[str, int] | None = None
    ) -> None:
        self.until = until or {}
        self.elsewhere: set[str] = set()
        self.ids = ids
        self.refuse = refuse
        self.broken = broken
        self.batches: list[int] = []
        self.at_once = self.at_once_max = 0

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.broken:
            raise ServiceError(operation, 400, "ValidationException", "no", passing=False)
        match operation:
            case "Query":
                return self.query(payload)
            case "BatchGetItem":
                return self.get(payload["RequestItems"]["t"]["Keys"])
        return self.write(payload["RequestItems"]["t"])

    def query(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        start = int(payload.get("ExclusiveStartKey", {"at": 0})["at"])
        end = start + payload["Limit"]
        answer: dict[str, Any] = {"Items": [self.item(one) for one in self.ids[start:end]]}
        return {**answer, "LastEvaluatedKey": {"at": end}} if end < len(self.ids) else answer

    def get(self, keys: list[Any]) -> dict[str, Any]:
        left, self.refuse = keys[: self.refuse], 0
        asked_for = [key["connectionId"]["S"] for key in keys[len(left) :]]
        items = [self.item(one) for one in asked_for if one in self.ids]
        return {"Responses": {"t": items}, "UnprocessedKeys": {"t": {"Keys": left}} if left else {}}

    def item(self, connection_id: str) -> dict[str, Any]:
        until = self.until.get(connection_id)
        return {
            "connectionId": {"S": connection_id},
            "groupId": {"S": "elsewhere" if connection_id in self.elsewhere else "g"},
            **({} if until is None else {"authorizedUntil": {"N": str(until)}}),
        }

    def write(self, requests: list[Any]) -> dict[str, Any]:
        self.batches.append(len(requests))
        refused, self.refuse = requests[: self.refuse], 0
        for request in requests[len(refused) :]:
            self.ids.remove(request["DeleteRequest"]["Key"]["connectionId"]["S"])
        return {"UnprocessedItems": {"t": refused} if refused else {}}


def ids(count: int) -> list[str]:
    return [f"c{number}=" for number in range(count)]


async def test_pages_give_every_member_once() -> None:
    """All of them, in pages of the asked size."""
    members = MembersTable(FakeTable(ids(25)), "t", 10, signs_in=False)
    assert [len(page) async for page in members.pages("g")] == [10, 10, 5]
    assert [one async for page in members.pages("g") for one in page] == ids(25)


async def test_the_gone_are_removed_at_the_flush_in_batches() -> None:
    """Not before, so that nobody's delivery waits for it; each once, several batches at a time, bounded."""
    table = FakeTable(ids(260))
    members = MembersTable(table, "t", 10, signs_in=False)
    for one in [*ids(250), *ids(30)]:
        members.discard(one)
    await asyncio.sleep(0)
    assert table.batches == []
    await members.flush()
    assert table.ids == ids(260)[250:]
    assert table.batches == [DELETE_BATCH] * 10
    assert 1 < table.at_once_max <= DELETES_AT_ONCE


async def test_very_many_gone_are_removed_meanwhile() -> None:
    """What is held has a bound."""
    table = FakeTable(ids(HELD_MAX))
    members = MembersTable(table, "t", 10, signs_in=False)
    for one in ids(HELD_MAX):
        members.discard(one)
    await asyncio.sleep(0.05)
    assert table.batches
    await members.flush()
    assert table.ids == []


async def test_unprocessed_items_are_tried_again() -> None:
    """DynamoDB may leave some of a batch undone."""
    table = FakeTable(ids(25), refuse=7)
    members = MembersTable(table, "t", 10, signs_in=False)
    for one in ids(25):
        members.discard(one)
    await members.flush()
    assert table.batches == [25, 7]
    assert (table.ids, members.unremoved) == ([], 0)


async def test_what_cannot_be_removed_is_counted_and_fails_nobody() -> None:
    """The next fan-out finds them again."""
    members = MembersTable(FakeTable(ids(30), broken=True), "t", 10, signs_in=False)
    for one in ids(30):
        members.discard(one)
    await members.flush()
    assert members.unremoved == 30


async def test_whose_sign_in_is_over_is_left_out() -> None:
    """To the second; those without an end stay, and the others are given out once."""
    table = FakeTable(ids(10), until={"c1=": 99, "c2=": 100, "c3=": 101})
    members = MembersTable(table, "t", page_size=4, now_s=lambda: 100.0, signs_in=False)
    living = [one async for page in members.pages("g") for one in page]
    assert living == ["c0=", *(f"c{number}=" for number in range(3, 10))]
    assert members.take_expired() == ["c1=", "c2="]
    assert members.take_expired() == []


async def test_guests_go_where_one_signs_in() -> None:
    """Who connected before that was asked for has no token's end, and may not stay either."""
    table = FakeTable(ids(3), until={"c1=": 101})
    members = MembersTable(table, "t", page_size=4, signs_in=True, now_s=lambda: 100.0)
    assert [page async for page in members.pages("g")] == [["c1="]]
    assert members.take_expired() == ["c0=", "c2="]


async def test_of_listed_connections_those_who_are_still_there() -> None:
    """Not who has left, gone to another group, or whose sign-in is over; what comes unread is asked again."""
    table = FakeTable(ids(250), refuse=7, until={"c3=": 99})
    table.elsewhere = {"c4="}
    members = MembersTable(table, "t", page_size=4, signs_in=False, now_s=lambda: 100.0)
    wanted = ["gone=", *ids(250)]
    found = [one async for page in members.listed("g", wanted) for one in page]
    assert sorted(found) == sorted(set(ids(250)) - {"c3=", "c4="})
    assert members.take_expired() == ["c3="]


async def test_connections_that_cannot_be_read_are_not_taken_for_gone() -> None:
    """The caller hears of it, and tries again later."""
    members = MembersTable(FakeTable(ids(3), broken=True), "t", page_size=4, signs_in=False)
    with pytest.raises(ServiceError):
        [page async for page in members.listed("g", ids(3))]
