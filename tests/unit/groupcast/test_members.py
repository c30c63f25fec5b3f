"""Reading a group's members and removing gone ones, with a fake DynamoDB."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from groupcast.aws.errors import ServiceError
from groupcast.slots import ALL_SLOTS, SlotRange
from groupcast.tables.members import MembersTable
from groupcast.tables.removals import DELETES_AT_ONCE, DISCARD_BATCH, DISCARDED_MAX, RemovalsTable


class FakeTable:
    """A table of connection ids; `refuse` items of each batch are unprocessed the first time.

    `until` is some connections' expiry in seconds; `same_slot` neighbours share a slot.
    """

    def __init__(
        self,
        ids: list[str],
        refuse: int = 0,
        broken: bool = False,
        until: Mapping[str, int] | None = None,
        same_slot: int = 1,
    ) -> None:
        self.same_slot = same_slot
        self.until = until or {}
        self.elsewhere: set[str] = set()
        self.ids = ids
        self.connections = list(ids)
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
        values = payload["ExpressionAttributeValues"]
        first, last = int(values[":first"]["N"]), int(values[":last"]["N"])
        items = [self.item(one) for one in self.ids]
        items = [item for item in items if first <= int(item["slot"]["N"]) <= last]
        start = payload.get("ExclusiveStartKey")
        at = 0 if start is None else items.index(self.item(start["connectionId"]["S"])) + 1
        found = items[at : at + payload["Limit"]]
        if at + payload["Limit"] >= len(items):
            return {"Items": found}
        return {"Items": found, "LastEvaluatedKey": found[-1]}

    def get(self, keys: list[Any]) -> dict[str, Any]:
        left, self.refuse = keys[: self.refuse], 0
        asked_for = [key["connectionId"]["S"] for key in keys[len(left) :]]
        items = [self.item(one) for one in asked_for if one in self.ids and one not in self.elsewhere]
        return {"Responses": {"t": items}, "UnprocessedKeys": {"t": {"Keys": left}} if left else {}}

    def item(self, connection_id: str) -> dict[str, Any]:
        until = self.until.get(connection_id)
        return {
            "connectionId": {"S": connection_id},
            "slot": {"N": str(self.ids.index(connection_id) // self.same_slot)},
            **({} if until is None else {"authorizedUntil": {"N": str(until)}}),
        }

    def write(self, requests: list[Any]) -> dict[str, Any]:
        self.batches.append(len(requests))
        refused, self.refuse = requests[: self.refuse], 0
        for request in requests[len(refused) :]:
            key = request["DeleteRequest"]["Key"]
            ids = {"connection": self.connections, "group:g": self.ids}[key["entry"]["S"]]
            ids.remove(key["connectionId"]["S"])
        return {"UnprocessedItems": {"t": refused} if refused else {}}


def ids(count: int) -> list[str]:
    return [f"c{number}=" for number in range(count)]


async def test_pages_give_every_member_once() -> None:
    """In pages of the requested size."""
    members = MembersTable(FakeTable(ids(25)), "t", 10, auth_required=False)
    pages = [page async for page in members.pages("g", ALL_SLOTS)]
    assert [one for page in pages for one in page.connection_ids] == ids(25)
    assert [page.is_last for page in pages] == [False, False, True]
    assert [page.next for page in pages] == [9, 19, 65_536]


@pytest.mark.parametrize("same_slot", [1, 2, 3, 7, 30])
async def test_a_pass_can_end_after_any_page(same_slot: int) -> None:
    """Reading from `next` gives exactly the other members, even if many share a slot."""
    members = MembersTable(FakeTable(ids(25), same_slot=same_slot), "t", 4, auth_required=False)
    pages = [page async for page in members.pages("g", ALL_SLOTS)]
    seen: list[str] = []
    for page in pages:
        seen += page.connection_ids
        rest = SlotRange(page.next, 65_535)
        others = [one async for other in members.pages("g", rest) for one in other.connection_ids]
        assert seen + others == ids(25)


async def test_only_the_wanted_slots_are_read() -> None:
    """A lane's part of the group."""
    members = MembersTable(FakeTable(ids(25)), "t", 4, auth_required=False)
    found = [one async for page in members.pages("g", SlotRange(5, 11)) for one in page.connection_ids]
    assert found == ids(25)[5:12]


async def test_gone_members_are_removed_at_the_flush_in_batches() -> None:
    """Not earlier, so that no delivery waits; each once, in a bounded number of concurrent batches."""
    table = FakeTable(ids(260))
    removals = RemovalsTable(table, "t")
    for one in [*ids(250), *ids(30)]:
        removals.discard(one, "g")
    await asyncio.sleep(0)
    assert table.batches == []
    await removals.flush()
    assert table.ids == table.connections == ids(260)[250:]
    assert table.batches == [2 * DISCARD_BATCH] * 20 + [20]
    assert 1 < table.at_once_max <= DELETES_AT_ONCE


async def test_very_many_gone_members_are_removed_early() -> None:
    """The number held back is bounded."""
    table = FakeTable(ids(DISCARDED_MAX))
    removals = RemovalsTable(table, "t")
    for one in ids(DISCARDED_MAX):
        removals.discard(one, "g")
    await asyncio.sleep(0.05)
    assert table.batches
    await removals.flush()
    assert table.ids == []


async def test_unprocessed_items_are_tried_again() -> None:
    """DynamoDB may leave items of a batch unprocessed."""
    table = FakeTable(ids(12), refuse=7)
    removals = RemovalsTable(table, "t")
    for one in ids(12):
        removals.discard(one, "g")
    await removals.flush()
    assert table.batches == [24, 7]
    assert table.ids == table.connections == []


async def test_a_failed_removal_fails_no_delivery() -> None:
    """The next fan-out finds the members again."""
    table = FakeTable(ids(30), broken=True)
    removals = RemovalsTable(table, "t")
    for one in ids(30):
        removals.discard(one, "g")
    await removals.flush()
    assert len(table.ids) == 30


async def test_expired_members_are_left_out() -> None:
    """To the second; members without an expiry stay, and expired ones are reported once."""
    table = FakeTable(ids(10), until={"c1=": 99, "c2=": 100, "c3=": 101})
    members = MembersTable(table, "t", page_size=4, now_s=lambda: 100.0, auth_required=False)
    pages = [page async for page in members.pages("g", ALL_SLOTS)]
    living = [one for page in pages for one in page.connection_ids]
    assert living == ["c0=", *(f"c{number}=" for number in range(3, 10))]
    assert [one for page in pages for one in page.expired] == ["c1=", "c2="]


async def test_guests_are_left_out_where_sign_in_is_required() -> None:
    """They connected before it was required and have no expiry."""
    table = FakeTable(ids(3), until={"c1=": 101})
    members = MembersTable(table, "t", page_size=4, auth_required=True, now_s=lambda: 100.0)
    pages = [page async for page in members.pages("g", ALL_SLOTS)]
    assert [(page.connection_ids, page.expired) for page in pages] == [(["c1="], ["c0=", "c2="])]


async def test_listed_connections_are_returned_if_still_members() -> None:
    """Not those that left, moved or expired; unprocessed keys are asked again."""
    table = FakeTable(ids(250), refuse=7, until={"c3=": 99})
    table.elsewhere = {"c4="}
    members = MembersTable(table, "t", page_size=4, auth_required=False, now_s=lambda: 100.0)
    wanted = ["gone=", *ids(250)]
    pages = [page async for page in members.listed("g", wanted)]
    found = [one for page in pages for one in page.connection_ids]
    assert sorted(found) == sorted(set(ids(250)) - {"c3=", "c4="})
    assert [one for page in pages for one in page.expired] == ["c3="]
    assert [(page.next, page.is_last) for page in pages] == [(100, False), (200, False), (251, True)]


async def test_connections_that_cannot_be_read_are_not_taken_for_gone() -> None:
    """The caller gets the error and retries later."""
    members = MembersTable(FakeTable(ids(3), broken=True), "t", page_size=4, auth_required=False)
    with pytest.raises(ServiceError):
        [page async for page in members.listed("g", ids(3))]
