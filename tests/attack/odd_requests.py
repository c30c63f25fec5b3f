"""Connect requests that an attacker might send: with tokens that are valid, damaged, or misplaced."""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import quote_from_bytes

from hypothesis import strategies as st

from tests.attack.odd_frames import damaged, damages

# API Gateway's limit for a URL is 4 KB.
MAX_QUERY_CHARS = 4_000
PROTOCOLS = ["Sec-WebSocket-Protocol", "sec-websocket-protocol"]
OTHER_HEADERS = ["Authorization", "Cookie", "User-Agent", "Origin", "X-Forwarded-For"]
PARAMETERS = ["token", "token", "name", "Token", "", "%00"]

# A target, and headers besides the handshake's; characters are bytes (Latin-1).
ConnectRequest: TypeAlias = tuple[str, list[tuple[str, str]]]

# Exclude line ends: they would begin another header.
_CHARACTERS = st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")
_TEXT = st.text(_CHARACTERS, max_size=30)
_URL_TEXT = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=30
)


def odd_requests(good: list[str], bad: list[str]) -> st.SearchStrategy[ConnectRequest]:
    """Requests with none, one or several of these tokens; `good` ones may also be damaged."""
    whole = st.sampled_from([*good, *bad])
    damaged_one = st.builds(damaged, st.sampled_from(good), damages(_CHARACTERS))
    subprotocol = st.one_of(
        st.sampled_from(["groupcast.v1", "BEARER.x", "bearer."]),
        st.one_of(whole, damaged_one).map("bearer.{}".format),
        _TEXT,
    )
    subprotocols = st.one_of(
        whole.map("groupcast.v1, bearer.{}".format), st.lists(subprotocol, max_size=3).map(", ".join)
    )
    header = st.one_of(
        st.tuples(st.sampled_from(PROTOCOLS), subprotocols), st.tuples(st.sampled_from(OTHER_HEADERS), _TEXT)
    )
    value = st.one_of(
        whole, damaged_one.map(_encoded), st.binary(max_size=20).map(quote_from_bytes), _URL_TEXT
    )
    query = st.one_of(
        st.just(""),
        whole.map("token={}".format),
        st.lists(st.tuples(st.sampled_from(PARAMETERS), value).map("=".join), max_size=3).map("&".join),
    )
    return st.tuples(query.map(lambda text: f"/?{text[:MAX_QUERY_CHARS]}"), st.lists(header, max_size=2))


def _encoded(text: str) -> str:
    return quote_from_bytes(text.encode("latin-1"))
