"""Conditions on a run, such as `delivery_ms:p(99)<250` and `ledger:lost==0`. Pure."""

from __future__ import annotations

import operator
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from loadtest.errors import ScenarioError
from loadtest.results.result import LedgerTotals, Metrics, ThresholdOutcome, rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loadtest.results.histogram import Histogram

LEDGER = "ledger"
METRICS = tuple(Metrics.__dataclass_fields__)
_COUNTS = tuple(LedgerTotals.__dataclass_fields__)
_STATS: Mapping[str, Callable[[Histogram], float | None]] = {
    "min": lambda histogram: histogram.min_ms,
    "mean": lambda histogram: histogram.mean_ms,
    "max": lambda histogram: histogram.max_ms,
    "count": lambda histogram: histogram.count,
}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
_FORM = re.compile(
    r"(?P<subject>\w+):(?P<stat>\w+)(?:\((?P<percent>[\d.]+)\))?(?P<sign>[<>]=?|==)(?P<limit>[\d.]+)"
)
_MAX_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Threshold:
    """A parsed condition. `percent` is set if `stat` is p."""

    expression: str
    subject: str
    stat: str
    percent: float | None
    sign: str
    limit: float


def parse_threshold(text: str) -> Threshold:
    """Parse a condition. Raises ScenarioError with the reason."""
    expression = "".join(text.split())
    form = _FORM.fullmatch(expression)
    if form is None:
        raise ScenarioError(f"{text} is not a condition such as delivery_ms:p(99)<250 or ledger:lost==0")
    subject, stat = form["subject"], form["stat"]
    try:
        percent = None if form["percent"] is None else float(form["percent"])
        limit = float(form["limit"])
    except ValueError:
        raise ScenarioError(f"{text} has an invalid number") from None
    if subject not in (*METRICS, LEDGER):
        raise ScenarioError(f"{text}: {subject} is not one of {', '.join((*METRICS, LEDGER))}")
    known = _COUNTS if subject == LEDGER else ("p(NN)", *_STATS)
    if (stat == "p") != (percent is not None) or (
        f"{stat}(NN)" if percent is not None else stat
    ) not in known:
        raise ScenarioError(f"{text}: {subject} has {', '.join(known)}")
    if percent is not None and percent >= _MAX_PERCENT:
        raise ScenarioError(f"{text}: a percentile is less than 100; the largest value is max")
    return Threshold(expression, subject, stat, percent, form["sign"], limit)


def parse_abort(text: str) -> Threshold:
    """Parse a condition that can be checked during a run. Raises ScenarioError."""
    threshold = parse_threshold(text)
    if threshold.subject == "group_complete_ms":
        raise ScenarioError(f"{text}: {threshold.subject} is known only when the run is over")
    return threshold


def evaluate(
    threshold: Threshold, metrics: Mapping[str, Histogram], ledger: LedgerTotals
) -> ThresholdOutcome:
    """Evaluate a condition; it does not hold if its value is unknown."""
    value = _value(threshold, metrics, ledger)
    held = value is not None and _COMPARISONS[threshold.sign](value, threshold.limit)
    return ThresholdOutcome(threshold.expression, rounded(value), held)


def _value(threshold: Threshold, metrics: Mapping[str, Histogram], ledger: LedgerTotals) -> float | None:
    if threshold.subject == LEDGER:
        return float(asdict(ledger)[threshold.stat])
    histogram = metrics[threshold.subject]
    if threshold.percent is not None:
        return histogram.percentile(threshold.percent)
    return _STATS[threshold.stat](histogram)
