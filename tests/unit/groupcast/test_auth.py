"""Names, offered tokens, and access to groups."""

from __future__ import annotations

import pytest

from groupcast.auth import chosen_subprotocol, guest_name, may_enter, offered_token
from groupcast.errors import TokenError


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Sec-WebSocket-Protocol": ["groupcast.v1, bearer.a.b.c"]}, {}),
        ({"sec-websocket-protocol": ["groupcast.v1", "bearer.a.b.c"]}, {}),
        ({}, {"token": ["a.b.c"]}),
    ],
)
def test_the_token_is_found_where_clients_can_put_it(
    headers: dict[str, list[str]], query: dict[str, list[str]]
) -> None:
    """As a subprotocol, in one header or two, in any case; or in the query."""
    assert offered_token(headers, query) == "a.b.c"


@pytest.mark.parametrize(
    ("headers", "query", "reason"),
    [
        ({}, {}, "no token"),
        ({"Authorization": ["Bearer a.b.c"]}, {}, "no token"),
        ({}, {"token": [""]}, "no token"),
        ({"Sec-WebSocket-Protocol": ["bearer."]}, {}, "no token"),
        ({"Sec-WebSocket-Protocol": ["bearer.a"]}, {"token": ["a"]}, "several"),
        ({"Sec-WebSocket-Protocol": ["bearer.a, bearer.b"]}, {}, "several"),
        ({}, {"token": ["a", "b"]}, "several"),
    ],
)
def test_missing_and_multiple_tokens_are_refused(
    headers: dict[str, list[str]], query: dict[str, list[str]], reason: str
) -> None:
    """An attacker must not choose which of two tokens counts."""
    with pytest.raises(TokenError, match=reason):
        offered_token(headers, query)


def test_only_our_subprotocol_is_chosen() -> None:
    """The response never repeats the token."""
    assert chosen_subprotocol({"Sec-WebSocket-Protocol": ["bearer.a, groupcast.v1"]}) == "groupcast.v1"
    assert chosen_subprotocol({"Sec-WebSocket-Protocol": ["bearer.a"]}) is None


@pytest.mark.parametrize(
    ("group_id", "groups", "may"),
    [
        ("group1", (), True),
        ("private-x", (), False),
        ("private-x", ("private-y", "x", "private-"), False),
        ("private-x", ("private-x",), True),
        ("private-", (), False),
        ("private", (), False),
        ("privateers", (), False),
        ("privateers", ("privateers",), True),
        ("privat", (), True),
        ("my-private-x", (), True),
        ("Private-x", (), False),
        ("Private-x", ("Private-x",), True),
        ("Private-x", ("private-x",), False),
        (" private-x", (), False),
        ("\u200bprivate-x", ("private-x",), False),
        ("pri\u00advate-x", (), False),
        ("private\u2010x", (), False),
        ("\uff50rivate-x", (), False),
    ],
)
def test_private_groups_need_their_entry(group_id: str, groups: tuple[str, ...], may: bool) -> None:
    """By exactly the group's name. Look-alikes are closed, all other groups open."""
    assert may_enter(group_id, groups) is may


def test_guests_choose_their_names() -> None:
    """A name is tidied and cut; without one the connection's id is used."""
    assert guest_name("  Ann \n Lee ", "L0SM9cOFvHcCIhw=") == "Ann Lee"
    assert guest_name("김\u202e민수", "L0SM9cOFvHcCIhw=") == "김민수"
    assert guest_name("\u3164 a\u034fnn\u2800 \ufe0f", "L0SM9cOFvHcCIhw=") == "ann"
    assert guest_name("\u0430nn \U0001f389", "L0SM9cOFvHcCIhw=") == "\u0430nn \U0001f389"
    assert guest_name("x" * 100, "L0SM9cOFvHcCIhw=") == "x" * 64
    assert guest_name(None, "L0SM9cOFvHcCIhw=") == "guest-L0SM9c"
    assert guest_name(" \x00 ", "L0SM9cOFvHcCIhw=") == "guest-L0SM9c"
