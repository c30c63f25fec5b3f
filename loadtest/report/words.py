"""Numbers as text for people. None is a percentile with too few samples."""

from __future__ import annotations

TOO_FEW = "too few samples"
_MS_IN_S = 1000
_LONG_MS = 10_000
_WHOLE_MS = 100
_TENTHS_MS = 1
_TENTHS_OF_PERCENT = 0.1


def ms(value: float | None) -> str:
    """`0.31 ms`, `18.2 ms`, `182 ms`, `12.3 s`."""
    if value is None:
        return TOO_FEW
    if value >= _LONG_MS:
        return f"{value / _MS_IN_S:,.1f} s"
    if value >= _WHOLE_MS:
        return f"{value:,.0f} ms"
    return f"{value:.1f} ms" if value >= _TENTHS_MS else f"{value:.2f} ms"


def count(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}"


def rate(value: float) -> str:
    """A rate a second: `0.5`, `20`, `12,400`."""
    return f"{value:,.0f}" if value >= _WHOLE_MS else f"{value:,.3g}"


def share(value: float | None) -> str:
    """`0.004` is `0.4 %`."""
    if value is None:
        return "unknown"
    return f"{value:.0%}".replace("%", " %") if value >= _TENTHS_OF_PERCENT else f"{value * 100:.2g} %"


def moment(seconds: float, *, long: bool) -> str:
    """`45 s`, or in a long run `12:05`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if long else f"{seconds:g} s"


def percentile(percent: float) -> str:
    """`p99`, `p99.9`."""
    return f"p{percent:.10g}"


def plural(number: float, one: str, many: str | None = None) -> str:
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
