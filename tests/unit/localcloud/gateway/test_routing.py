"""Route selection, as pure values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.errors import ServiceError
from localcloud.gateway.routing import parse_selection_expression, select_route
from localcloud.service.model import Route

KEYS = ("$connect", "$disconnect", "$default", "join", "true", "7", "1e400")
ROUTES = {key: Route(key, "function", responds=False) for key in KEYS}
ACTION = ("action",)


def selected(body: str) -> str | None:
    route = select_route(body, ROUTES, ACTION)
    return route.key if route else None


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"action": "join"}', "join"),
        ('{"action": "leave"}', "$default"),
        ('{"action": true}', "true"),
        ('{"action": 7}', "7"),
        ('{"action": 1e400}', "1e400"),
        ('{"action": null}', "$default"),
        ('{"action": ["join"]}', "$default"),
        ('{"action": {"join": 1}}', "$default"),
        ('{"Action": "join"}', "$default"),
        ('["join"]', "$default"),
        ('"join"', "$default"),
        ("join", "$default"),
        ("", "$default"),
        ('{"action": "join"', "$default"),
    ],
)
def test_action_chooses_the_route(body: str, key: str) -> None:
    """A known scalar action takes its route; all else, JSON or not, takes `$default`."""
    assert selected(body) == key


@pytest.mark.parametrize("key", ["$connect", "$disconnect"])
def test_a_client_cannot_name_the_gateways_own_routes(key: str) -> None:
    """`$connect` and `$disconnect` are treated like unknown actions."""
    assert selected(json.dumps({"action": key})) == "$default"


@pytest.mark.parametrize(
    "rest",
    ['"\\ud800"', '{"\\udfff": 1}', "9" * 100_000, "-1e" + "9" * 1000],
    ids=["lone surrogate", "surrogate name", "huge integer", "huge exponent"],
)
def test_odd_json_is_still_json(rest: str) -> None:
    """Escaped lone surrogates and numbers of any size do not hide the action."""
    assert selected(f'{{"x": {rest}, "action": "join"}}') == "join"


@pytest.mark.parametrize(
    "rest",
    ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "NaN", "-Infinity"],
    ids=["deep lists", "deep objects", "NaN", "Infinity"],
)
def test_invalid_json_takes_the_default_route(rest: str) -> None:
    """Endless nesting and JavaScript's constants do no harm."""
    assert selected(f'{{"x": {rest}, "action": "join"}}') == "$default"


@given(st.text())
def test_no_text_breaks_selection(body: str) -> None:
    """With a `$default`, any text has a route."""
    assert selected(body) is not None


def test_without_default_there_may_be_no_route() -> None:
    """For a message without a matching one."""
    assert select_route("x", {"join": ROUTES["join"]}, ACTION) is None


def test_an_expression_may_be_nested() -> None:
    """`$request.body.a.b` looks for b inside a."""
    path = parse_selection_expression("$request.body.a.b")
    route = select_route('{"a": {"b": "join"}}', ROUTES, path)
    assert route is not None
    assert route.key == "join"
    assert select_route('{"a": "join"}', ROUTES, path) == ROUTES["$default"]


@pytest.mark.parametrize("expression", ["$request.header.x", "$request.body", "$request.body.", "action", ""])
def test_other_expressions_are_refused(expression: str) -> None:
    """At start, not at the first message."""
    with pytest.raises(ServiceError, match="route selection expression"):
        parse_selection_expression(expression)
