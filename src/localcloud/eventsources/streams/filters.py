"""Event patterns: the records of a stream that reach a function.

Supports the part of Lambda's pattern language (Developer Guide, "Control which events Lambda sends to your
function") that serverless.yml uses: top-level fields and their allowed strings. All else is an error, so that
the emulation never passes a record that Lambda would filter out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def compile_filters(patterns: Iterable[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], bool]:
    """Return a predicate: does a record match any pattern? Without patterns all match.

    Fields are ANDed, the values of a field are ORed. ServiceError for an unsupported pattern.
    """
    allowed = [_values_by_field(pattern) for pattern in patterns]
    return lambda record: (
        not allowed
        or any(all(record.get(name) in values for name, values in fields.items()) for fields in allowed)
    )


def _values_by_field(pattern: Any) -> Mapping[str, list[str]]:
    if not isinstance(pattern, dict) or not pattern:
        raise ServiceError(
            f"filterPatterns: a pattern must be an object with at least one field, not {pattern!r}"
        )
    for name, values in pattern.items():
        if not isinstance(values, list) or not values or not all(isinstance(one, str) for one in values):
            raise ServiceError(
                f"filterPatterns.{name}: only lists of strings are emulated, such as [INSERT], not {values!r}"
            )
    return pattern
