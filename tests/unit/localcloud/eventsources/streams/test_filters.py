"""Event patterns, by the examples of the Lambda guide and by laws."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.errors import ServiceError
from localcloud.eventsources.streams.filters import compile_filters

RECORD = {
    "eventName": "INSERT",
    "dynamodb": {
        "SizeBytes": 120,
        "Keys": {"id": {"S": "m-1"}},
        "NewImage": {
            "id": {"S": "m-1"},
            "kind": {"S": "Text"},
            "urgent": {"BOOL": True},
            "count": {"N": "5"},
            "tags": {"SS": ["red", "blue"]},
            "parts": {"L": [{"S": "one"}, {"S": "two"}]},
            "nothing": {"NULL": True},
        },
    },
}


def passes(*patterns: Any) -> bool:
    return compile_filters(patterns)(RECORD)


def new_image(name: str, kind: str, *rules: Any) -> dict[str, Any]:
    return {"dynamodb": {"NewImage": {name: {kind: list(rules)}}}}


def test_no_filter_lets_all_pass() -> None:
    """A mapping without filters sees every record."""
    assert passes()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"eventName": ["INSERT"]}, True),
        ({"eventName": ["REMOVE", "MODIFY"]}, False),
        ({"eventName": ["REMOVE", "INSERT"]}, True),
        ({"eventName": ["INSERT"], "dynamodb": {"Keys": {"id": {"S": ["m-2"]}}}}, False),
        (new_image("kind", "S", {"prefix": "Te"}), True),
        (new_image("kind", "S", {"prefix": "xt"}), False),
        (new_image("kind", "S", {"suffix": "xt"}), True),
        (new_image("kind", "S", {"equals-ignore-case": "tEXT"}), True),
        (new_image("kind", "S", {"anything-but": ["Image"]}), True),
        (new_image("kind", "S", {"anything-but": "Text"}), False),
        (new_image("kind", "S", "Image", {"prefix": "T"}), True),
        (new_image("urgent", "BOOL", True), True),
        (new_image("urgent", "BOOL", 1), False),
        (new_image("tags", "SS", "blue"), True),
        (new_image("tags", "SS", {"anything-but": ["red"]}), True),
        (new_image("parts", "L", "one"), False),
        ({"dynamodb": {"NewImage": {"parts": {"L": {"S": ["two"]}}}}}, True),
        ({"dynamodb": {"SizeBytes": [{"numeric": [">", 100, "<=", 120]}]}}, True),
        ({"dynamodb": {"SizeBytes": [{"numeric": ["<", 120]}]}}, False),
        # DynamoDB's numbers are strings in a record, which numeric does not read on AWS either.
        (new_image("count", "N", {"numeric": ["=", 5]}), False),
        (new_image("count", "N", "5"), True),
        (new_image("missing", "S", {"exists": False}), True),
        (new_image("missing", "S", {"exists": True}), False),
        (new_image("missing", "S", {"anything-but": ["x"]}), False),
        (new_image("kind", "S", {"exists": True}), True),
        (new_image("kind", "S", {"exists": False}), False),
        # An object is no leaf, and exists looks at leaves only.
        ({"dynamodb": {"NewImage": {"kind": [{"exists": True}]}}}, False),
        ({"dynamodb": {"OldImage": {"kind": {"S": [{"exists": False}]}}}}, True),
        ({"dynamodb": {"OldImage": {"kind": {"S": ["Text"]}}}}, False),
        ({"$or": [{"eventName": ["REMOVE"]}, {"dynamodb": {"SizeBytes": [120]}}]}, True),
        ({"$or": [{"eventName": ["REMOVE"]}, {"dynamodb": {"SizeBytes": [1]}}]}, False),
        ({"eventName": ["REMOVE"], "$or": [{"eventName": ["INSERT"]}]}, False),
    ],
)
def test_patterns(pattern: Any, expected: bool) -> None:
    """Each operator, alone and nested, decides as the guide's table of comparison operators says."""
    assert passes(pattern) is expected


def test_one_of_several_patterns_is_enough() -> None:
    """Filters of a mapping are alternatives."""
    assert passes({"eventName": ["REMOVE"]}, {"eventName": ["INSERT"]})


@pytest.mark.parametrize(
    "pattern",
    [
        {},
        {"eventName": {}},
        {"eventName": "INSERT"},
        {"eventName": []},
        {"eventName": [{"wildcard": "I*"}]},
        {"eventName": [{"regex": "I.*"}]},
        {"eventName": [{"prefix": "I", "suffix": "T"}]},
        {"eventName": [{}]},
        {"eventName": [{"prefix": 1}]},
        {"eventName": [{"exists": "yes"}]},
        {"eventName": [{"anything-but": []}]},
        {"eventName": [{"anything-but": {"prefix": "I"}}]},
        {"eventName": [{"numeric": [">"]}]},
        {"eventName": [{"numeric": ["!=", 1]}]},
        {"eventName": [{"numeric": [">", "1"]}]},
        {"eventName": [["INSERT"]]},
        {"$or": []},
        {"$or": {"eventName": ["INSERT"]}},
    ],
)
def test_malformed_patterns_are_refused_at_start(pattern: Any) -> None:
    """What Lambda would not take is a ServiceError that names the place, not a filter that never matches."""
    with pytest.raises(ServiceError, match="filterPatterns"):
        compile_filters([pattern])


leaves = st.one_of(st.text(), st.booleans(), st.integers(), st.floats(allow_nan=False))
objects = st.recursive(
    st.dictionaries(st.text(min_size=1).filter(lambda name: name != "$or"), leaves, min_size=1, max_size=3),
    lambda inner: st.dictionaries(
        st.text(min_size=1).filter(lambda name: name != "$or"), inner, min_size=1, max_size=3
    ),
    max_leaves=5,
)


def as_pattern(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: as_pattern(inner) for name, inner in value.items()}
    return [value]


@given(objects)
def test_an_object_matches_the_pattern_made_of_it(value: dict[str, Any]) -> None:
    """Whatever its shape and values, every object passes the filter that asks for exactly them."""
    assert compile_filters([as_pattern(value)])(value)


@given(st.one_of(st.text(), st.integers()), st.lists(st.one_of(st.text(), st.integers()), min_size=1))
def test_anything_but_is_the_opposite_of_a_list(value: Any, listed: list[Any]) -> None:
    """A field that is there passes exactly one of the two."""
    record = {"field": value}
    assert compile_filters([{"field": listed}])(record) != compile_filters(
        [{"field": [{"anything-but": listed}]}]
    )(record)


@given(st.one_of(st.integers(-10, 10), st.floats(-10, 10)), st.integers(-10, 10), st.integers(-10, 10))
def test_numeric_is_a_range(value: float, low: int, high: int) -> None:
    """Two comparisons mean both."""
    accepts = compile_filters([{"field": [{"numeric": [">=", low, "<", high]}]}])
    assert accepts({"field": value}) is (low <= value < high)
