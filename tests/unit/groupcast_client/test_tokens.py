"""Reading a token's end without verifying it."""

from __future__ import annotations

import base64

import orjson
import pytest

from groupcast_client import tokens


def jwt(payload: object) -> str:
    return f"e30.{base64.urlsafe_b64encode(orjson.dumps(payload)).decode().rstrip('=')}.c2ln"


@pytest.mark.parametrize("sub", ["a", "ab", "abc", "abcd", "앤"])
def test_the_end_is_read_whatever_the_padding(sub: str) -> None:
    """A JWT omits the padding of base64."""
    assert tokens.expires_at(jwt({"exp": 1_900_000_000, "sub": sub})) == 1_900_000_000


@pytest.mark.parametrize(
    "token",
    [
        "",
        "jwt",
        "a.b.c",
        "e30.앤.c2ln",
        jwt({}),
        jwt([]),
        jwt("exp"),
        jwt(7),
        jwt({"exp": None}),
        jwt({"exp": "1900000000"}),
    ],
)
def test_an_unreadable_token_has_no_end(token: str) -> None:
    """Anything but a JWT with a number for `exp` gives None, never an exception."""
    assert tokens.expires_at(token) is None


@pytest.mark.parametrize(
    ("token", "may"),
    [(jwt({}), True), ("", False), ("a b", False), ("a,b", False), ("a.b.c\n", False), ("앤", False)],
)
def test_a_token_that_would_break_the_handshake_is_detected(token: str, *, may: bool) -> None:
    """Line breaks end header lines and commas divide lists: no token may hold either."""
    assert tokens.fits_subprotocol(token) is may
