"""Event patterns: which records of a stream a function sees.

The rules are those of "Control which events Lambda sends to your function" in the AWS Lambda Developer
Guide: fields are ANDed, the values of a list are ORed, and every leaf of a pattern is a list.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from localcloud.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Matcher = Callable[[Any], bool]

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# What the value of a field is where there is no such field.
_ABSENT = object()


def compile_filters(patterns: Iterable[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], bool]:
    """A predicate: whether any of the patterns lets a record through (none: all pass).

    ServiceError where a pattern is malformed or has an operator that Lambda does not know.
    """
    matchers = [_fields(pattern, "filterPatterns") for pattern in patterns]
    return lambda record: not matchers or any(matches(record) for matches in matchers)


def _fields(pattern: Any, where: str) -> Matcher:
    if not isinstance(pattern, dict) or not pattern:
        raise ServiceError(f"{where}: a pattern is an object with at least one field, not {pattern!r}")
    fields = {
        name: _field(name, inner, f"{where}.{name}") for name, inner in pattern.items() if name != "$or"
    }
    either = [_fields(inner, f"{where}.$or") for inner in _or(pattern, where)]

    def matches(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and all(field(value.get(name, _ABSENT)) for name, field in fields.items())
            and (not either or any(alternative(value) for alternative in either))
        )

    # Of a list of objects, one that matches is enough.
    return lambda value: any(map(matches, value)) if isinstance(value, list) else matches(value)


def _or(pattern: Mapping[str, Any], where: str) -> list[Any]:
    alternatives = pattern.get("$or", [])
    if not isinstance(alternatives, list) or ("$or" in pattern and not alternatives):
        raise ServiceError(f"{where}.$or: must be a list of patterns")
    return alternatives


def _field(name: str, inner: Any, where: str) -> Matcher:
    if isinstance(inner, dict):
        return _optional_fields(inner, where)
    if not isinstance(inner, list) or not inner:
        raise ServiceError(f"{where}: the value of {name} must be a list of what it may be, not {inner!r}")
    rules = [_rule(rule, where) for rule in inner]
    return lambda value: any(rule(value) for rule in rules)


def _optional_fields(inner: Any, where: str) -> Matcher:
    matches = _fields(inner, where)
    # Below a field that is not there, nothing is: only {"exists": false} can match.
    return lambda value: matches({} if value is _ABSENT else value)


def _rule(rule: Any, where: str) -> Matcher:
    """A predicate on a field's value, which may be _ABSENT."""
    if not isinstance(rule, dict):
        return _of_elements(_equals(rule, where))
    if len(rule) != 1:
        raise ServiceError(f"{where}: a rule has one operator, not {sorted(rule)}")
    ((name, operand),) = rule.items()
    if name == "exists":
        return _exists(operand, where)
    make = _OPERATORS.get(name)
    if make is None:
        raise ServiceError(f"{where}: unknown operator {name}")
    return _of_elements(make(operand, where))


def _of_elements(test: Matcher) -> Matcher:
    # A list matches by any of its elements; what is no leaf matches nothing.
    def matches(value: Any) -> bool:
        if isinstance(value, list):
            return any(test(element) for element in value if not isinstance(element, dict | list))
        return value is not _ABSENT and not isinstance(value, dict) and test(value)

    return matches


def _exists(operand: Any, where: str) -> Matcher:
    if not isinstance(operand, bool):
        raise ServiceError(f"{where}: exists is true or false, not {operand!r}")
    # AWS: exists works on leaves, an object is none.
    return lambda value: operand == (value is not _ABSENT and not isinstance(value, dict))


def _equals(operand: Any, where: str) -> Matcher:
    if not isinstance(operand, str | int | float | bool | None):
        raise ServiceError(f"{where}: cannot compare with {operand!r}")
    # JSON's true is not 1, Python's is.
    return lambda value: value == operand and isinstance(value, bool) == isinstance(operand, bool)


def _text(test: Callable[[str, str], bool], name: str) -> Callable[[Any, str], Matcher]:
    def make(operand: Any, where: str) -> Matcher:
        if not isinstance(operand, str):
            raise ServiceError(f"{where}: {name} takes a string, not {operand!r}")
        return lambda value: isinstance(value, str) and test(value, operand)

    return make


def _anything_but(operand: Any, where: str) -> Matcher:
    excluded = operand if isinstance(operand, list) else [operand]
    if not excluded or not all(_is_number(item) or isinstance(item, str) for item in excluded):
        raise ServiceError(f"{where}: anything-but takes strings or numbers, not {operand!r}")
    tests = [_equals(item, where) for item in excluded]
    return lambda value: not any(test(value) for test in tests)


def _numeric(operand: Any, where: str) -> Matcher:
    if not isinstance(operand, list) or len(operand) not in {2, 4}:
        raise ServiceError(
            f"{where}: numeric takes one or two pairs of comparison and number, not {operand!r}"
        )
    pairs = list(zip(operand[::2], operand[1::2], strict=True))
    if not all(comparison in _COMPARISONS and _is_number(number) for comparison, number in pairs):
        raise ServiceError(f"{where}: numeric takes =, <, <=, > or >= and a number, not {operand!r}")
    # As on AWS this does not reach DynamoDB's own numbers: {"N": "5"} holds a string.
    return lambda value: (
        _is_number(value) and all(_COMPARISONS[comparison](value, number) for comparison, number in pairs)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_OPERATORS: Mapping[str, Callable[[Any, str], Matcher]] = {
    "anything-but": _anything_but,
    "equals-ignore-case": _text(
        lambda value, operand: value.lower() == operand.lower(), "equals-ignore-case"
    ),
    "numeric": _numeric,
    "prefix": _text(str.startswith, "prefix"),
    "suffix": _text(str.endswith, "suffix"),
}
