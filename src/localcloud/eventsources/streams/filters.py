"""Event patterns: the records of a stream that reach a function.

Of Lambda's pattern language (Developer Guide, "Control which events Lambda sends to your function") this
knows top-level fields with their allowed strings. localcloud.service refuses everything else, so that no
record passes that Lambda would hold back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def compile_filters(
    patterns: Sequence[Mapping[str, Sequence[str]]],
) -> Callable[[Mapping[str, Any]], bool]:
    """A predicate: whether any of the patterns lets a record through (no patterns: all pass).

    Fields are ANDed, the values of a field are ORed.
    """
    return lambda record: (
        not patterns
        or any(all(record.get(name) in values for name, values in fields.items()) for fields in patterns)
    )
