from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupcast.fanout.leftover import CONNECTIONS_MAX, MESSAGES_MAX, Leftover, from_body, split, to_body
from groupcast.fanout.queue import BATCH_BYTES_MAX, BATCH_ENTRIES_MAX
from groupcast.fanout.suspects import REFUSALS_MAX
from groupcast.model import message_key, uuid7
from groupcast.protocol import MAX_GROUP_ID_CHARS

TEXTS = st.lists(st.text(max_size=20), unique=True, max_size=5).map(tuple)


@given(
    st.integers(min_value=0, max_value=MESSAGES_MAX * 3),
    st.integers(min_value=0, max_value=CONNECTIONS_MAX * 3),
)
def test_splitting_owes_every_message_to_every_connection_once(messages: int, connections: int) -> None:
    """Each pair is in exactly one leftover, and none exceeds the limits."""
    wanted = [f"m{number}" for number in range(messages)], [f"c{number}" for number in range(connections)]
    leftovers = split("a", *wanted, lambda connection_ids: tuple(range(len(connection_ids))))
    assert sum(one.owed for one in leftovers) == messages * connections
    starts = {(one.message_ids[0], one.connection_ids[0]) for one in leftovers}
    assert len(starts) == len(leftovers)
    assert all(len(one.message_ids) <= MESSAGES_MAX for one in leftovers)
    assert all(len(one.connection_ids) <= CONNECTIONS_MAX for one in leftovers)
    assert all(one.refusals == tuple(range(len(one.connection_ids))) for one in leftovers)


def test_ten_of_the_largest_leftovers_fit_one_batch() -> None:
    """With ids in the formats of API Gateway and groupcast, and the longest encoded group name."""
    user_id = uuid7(0, bytes(10))
    message_ids = [message_key(user_id, uuid7(number, bytes(10))) for number in range(MESSAGES_MAX)]
    connection_ids = [f"L0SM9cOF{number:07d}=" for number in range(CONNECTIONS_MAX)]

    def worst(ids: tuple[str, ...]) -> tuple[int, ...]:
        return (REFUSALS_MAX,) * len(ids)

    (leftover,) = split("\U0001f600" * MAX_GROUP_ID_CHARS, message_ids, connection_ids, worst)
    assert len(to_body(leftover)) * BATCH_ENTRIES_MAX < BATCH_BYTES_MAX * 0.8


@given(
    st.builds(Leftover, st.text(max_size=20), TEXTS, TEXTS, st.integers(min_value=0, max_value=9)), st.data()
)
def test_a_leftover_survives_its_body(leftover: Leftover, data: st.DataObject) -> None:
    """Any text and the counts survive, in characters that SQS accepts."""
    counts = st.lists(
        st.integers(min_value=0, max_value=1000),
        min_size=len(leftover.connection_ids),
        max_size=len(leftover.connection_ids),
    )
    leftover = replace(
        leftover, refusals=data.draw(st.just(()) | counts.map(tuple)), told_gone=data.draw(st.booleans())
    )
    body = to_body(leftover)
    assert from_body(body) == leftover
    assert body.isascii()
    assert body.isprintable()


GOOD = {"groupId": "a", "messageIds": ["m"], "connectionIds": ["c"], "tries": 0}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "nonsense",
        "[]",
        "[" * 200_000,
        "{}",
        *(json.dumps({key: value for key, value in GOOD.items() if key != left_out}) for left_out in GOOD),
        json.dumps({**GOOD, "groupId": 1}),
        json.dumps({**GOOD, "messageIds": "m"}),
        json.dumps({**GOOD, "connectionIds": ["c", 2]}),
        json.dumps({**GOOD, "tries": "0"}),
        json.dumps({**GOOD, "tries": -1}),
        json.dumps({**GOOD, "tries": True}),
        json.dumps({**GOOD, "connectionIds": [["c"]], "refusals": [1]}),
        *(
            json.dumps({**GOOD, "refusals": refusals})
            for refusals in ([1, 2], [-1], [True], [1.0], ["1"], [None], None, "1", 1, {"c": 1})
        ),
        *(
            json.dumps({"groupId": "a", "messageIds": ["m"], "slots": slots, "tries": 0})
            for slots in ([0], [0, 65_536], [-1, 5], [7, 5], [False, True], [0.0, 1.0], "01")
        ),
    ],
    ids=lambda body: body[:20],
)
def test_a_malformed_body_is_a_value_error(body: str) -> None:
    """And no other exception."""
    with pytest.raises(ValueError, match=r"."):
        from_body(body)


def test_a_repeated_id_is_owed_once() -> None:
    body = json.dumps({**GOOD, "messageIds": ["m", "m"], "connectionIds": ["c", "d", "c"]})
    assert from_body(body) == Leftover("a", ("m",), ("c", "d"))
    body = json.dumps({**GOOD, "connectionIds": ["c", "d", "c"], "refusals": [1, 2, 3]})
    assert from_body(body) == Leftover("a", ("m",), ("c", "d"), refusals=(3, 2))
