"""Frames that an attacker might send: random, or nearly valid.

JSON is text here, because some of it is invalid.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from hypothesis import strategies as st

from localcloud.service.definition import load_service
from tests.conftest import REGION, ROOT

# API Gateway's limit.
MAX_FRAME_BYTES = 32 * 1024

# Names and the JSON text of values: names may repeat, and values may be invalid JSON.
Pairs: TypeAlias = list[tuple[str, str]]
Damage: TypeAlias = tuple[int, int, str]

GROUPS = ["attack-1", "attack-2", "attack-3", "private-team", "private-", " private-team", "*", "x" * 128]
UUIDS = [
    "01890000-0000-7000-8000-000000000001",
    "{01890000-0000-7000-8000-000000000001}",
    "urn:uuid:01890000000070008000000000000001",
    "٠١٨٩٠٠٠٠-0000-7000-8000-000000000001",  # Arabic digits, which Python's int() accepts
    "01890000-0000-7000-8000-00000000000",
]
NAMES = [
    *("action", "groupId", "since", "before", "limit", "message", "messageId", "token", "id"),
    *("sender", "connectionId", "type", "", "__proto__", "\U0001f600", "$"),
]
ROUTES = load_service(ROOT / "serverless.yml", stage="unit", region=REGION, params={}).routes
ACTIONS = [route for route in ROUTES if not route.startswith("$")]
ODD_VALUES = [
    *("null", "true", "false", "0", "-0", "-1", "1", "200", "201", "1.0", "1e400", "-1E-400", "1e5"),
    *("9007199254740991", "9007199254740992", "18446744073709551616"),
    *('""', '" "', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u202e"'),
    *("[]", "{}", "[[]]", '{"S":"x"}', '{"action":"ping"}', '{"__proto__":{}}'),
    *('"$connect"', '"$default"', '"private-team"', '"groupId = :group"', '"#x OR :y"'),
]
NO_JSON = [
    "",
    " ",
    ",",
    "{",
    '"',
    "'a'",
    "NaN",
    "-Infinity",
    "0x1",
    "01",
    "nul",
    "\ufeff{}",
    "[",
    '{"action":',
]
OPENINGS = [("[", "]"), ('{"a":', "}"), ('[{"":', "}]")]
FILLINGS = ["x", "é", "\U0001f600", "\\u0001", "\\ud800", " ", "\x7f"]
INSERTS = ["\ufeff", "\x00", '"', "}", "\\", "\u2028"]

CHANGES: list[Callable[[Pairs, int, str, str], Pairs]] = [
    lambda pairs, at, _name, _value: pairs[:at] + pairs[at + 1 :],
    lambda pairs, at, _name, value: [*pairs[:at], (pairs[at][0], value), *pairs[at + 1 :]],
    lambda pairs, at, _name, value: [*pairs, (pairs[at][0], value)],
    lambda pairs, at, _name, value: [(pairs[at][0], value), *pairs],
    lambda pairs, at, name, _value: [*pairs[:at], (name, pairs[at][1]), *pairs[at + 1 :]],
    lambda pairs, _at, name, value: [*pairs, (name, value)],
]


def right_frames(token: str) -> list[Pairs]:
    """One or more valid frames of every action; renew carries `token`."""
    uuid = json.dumps(UUIDS[0])
    return [
        [("action", '"joinGroup"'), ("groupId", '"attack-1"')],
        [("action", '"joinGroup"'), ("groupId", '"attack-2"'), ("since", "0"), ("id", '"1"')],
        [("action", '"joinGroup"'), ("groupId", '"private-team"'), ("since", "0")],
        [("action", '"leaveGroup"'), ("id", '"2"')],
        [("action", '"sendMessage"'), ("message", '"hello"')],
        [("action", '"sendMessage"'), ("message", '"hello"'), ("messageId", uuid), ("id", '"3"')],
        [("action", '"sendMessage"'), ("message", '"hello"'), ("groupId", '"private-team"')],
        [("action", '"history"'), ("since", "0"), ("limit", "3")],
        [("action", '"history"'), ("before", "9"), ("limit", "3"), ("groupId", '"private-team"')],
        [("action", '"ping"'), ("id", '"4"')],
        [("action", '"renew"'), ("token", json.dumps(token))],
    ]


def damages(characters: st.SearchStrategy[str]) -> st.SearchStrategy[Damage]:
    """(position, number of characters to remove, replacement)."""
    return st.tuples(st.integers(0, 2_000), st.integers(0, 40), st.text(characters, max_size=3))


def damaged(text: str, damage: Damage) -> str:
    at, gone, put = damage
    at %= len(text) + 1
    return text[:at] + put + text[at + gone :]


def _object(pairs: Pairs) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in pairs) + "}"


_TEXTS = st.one_of(
    st.text(max_size=20).map(json.dumps),
    st.text(max_size=20).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from([*GROUPS, *UUIDS]).map(json.dumps),
    st.builds(lambda unit, count: f'"{unit * count}"', st.sampled_from(FILLINGS), st.integers(0, 20_000)),
)
_NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
    st.builds(lambda digit, count: digit * count, st.sampled_from("19"), st.integers(1, 6_000)),
)
_DEEP = st.builds(
    lambda parts, depth: parts[0] * depth + parts[1] * depth,
    st.sampled_from(OPENINGS),
    st.one_of(st.integers(1, 50), st.integers(1, 5_000)),
)
_FLAT = st.one_of(st.sampled_from(ODD_VALUES), _TEXTS, _NUMBERS, _DEEP)
_NESTED = st.recursive(
    _FLAT,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=4).map(_object),
    ),
    max_leaves=5,
)
_FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), _NESTED), max_size=5)
_MADE_UP = st.builds(
    lambda action, fields: _object([("action", action), *fields]),
    st.sampled_from(ACTIONS).map(json.dumps),
    _FIELDS,
)
_GARBAGE = st.one_of(
    st.text(max_size=60),
    st.sampled_from(NO_JSON),
    _NESTED,
    st.builds(lambda text, count: text * count, st.sampled_from(NO_JSON), st.integers(1, 5_000)),
)
_DAMAGES = damages(st.one_of(st.sampled_from(INSERTS), st.characters(codec="utf-8")))


@st.composite
def odd_frames(draw: Any, token: str) -> str:
    """Texts of at most MAX_FRAME_BYTES; renew may carry `token`."""
    kind = draw(st.integers(0, 9))
    text: str
    if kind == 0:
        text = draw(_GARBAGE)
    elif kind == 1:
        text = draw(_MADE_UP)
    elif kind == 2:
        text = damaged(_object(draw(st.sampled_from(right_frames(token)))), draw(_DAMAGES))
    else:
        pairs = draw(st.sampled_from(right_frames(token)))
        # A frame without an action is refused early.
        kept = pairs[: draw(st.sampled_from([0, 1, 1]))]
        text = _object([*kept, *_changed(draw, pairs[len(kept) :])])
    return text.encode()[:MAX_FRAME_BYTES].decode(errors="ignore")


def _changed(draw: Any, pairs: Pairs) -> Pairs:
    for _ in range(draw(st.integers(0, 2))):
        if pairs:
            change, at = draw(st.sampled_from(CHANGES)), draw(st.integers(0, len(pairs) - 1))
            pairs = change(pairs, at, draw(st.sampled_from(NAMES)), draw(_FLAT))
    return pairs
