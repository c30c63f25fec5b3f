"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Status(StrEnum):
    """`TO_DO` alone makes the command's exit code 1."""

    OK = "ok"
    TO_DO = "to do"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: the state where it is good, otherwise the fault and its remedy, or the reason for skipping.

    `figures` are for programs. `blocks`: the other checks make no sense before this is mended.
    """

    status: Status
    text: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    blocks: bool = False


class CannotCheckError(Exception):
    """A check could not be made; the text is the reason."""


def ok(text: str, **figures: Any) -> Finding:
    return Finding(Status.OK, text, figures)


def to_do(text: str, *, blocks: bool = False, **figures: Any) -> Finding:
    return Finding(Status.TO_DO, text, figures, blocks)


def skipped(reason: str) -> Finding:
    return Finding(Status.SKIPPED, reason)


def judged(good: str, faults: Sequence[str]) -> Finding:
    """All faults in one line; `good` where there are no faults."""
    return to_do("; ".join(faults)) if faults else ok(good)
