"""Charts: values in, SVG text out."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.report import distributions, overtime, scales
from loadtest.report.distributions import Bar, Size
from loadtest.report.overtime import Row
from loadtest.report.plot import LABEL_HEIGHT_PX, band, end_labels, line

LATENCIES = st.lists(st.floats(0, 1e7, allow_nan=False), max_size=20)


def parsed(svg: str) -> ET.Element:
    # Made by this project, from numbers.
    return ET.fromstring(svg)  # noqa: S314 - see above


def numbers(path: ET.Element) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", path.get("d", ""))]


def row(t_s: int, **values: Any) -> Row:
    known = {"users": 5, "sent": 1, "expected": 5, "delivered": 5, "p50": 1.0, "p90": 2.0, "p99": 3.0}
    return Row(**{"t_s": t_s, **known, "max": 4.0, "loop_lag_ms_max": 0.5, "cpu": 0.1, **values})


@pytest.mark.parametrize("make", [scales.linear, scales.logarithmic, scales.fitting])
@given(values=LATENCIES)
def test_an_axis_holds_all_values_and_keeps_their_order(make: Any, values: list[float]) -> None:
    """Every value lies between the ends of the axis, a larger one never before a smaller one."""
    scale = make(values, 300.0, 20.0)
    places = [scale.px(value) for value in sorted(values)]
    assert all(20 - 1e-6 <= place <= 300 + 1e-6 for place in places)
    assert places == sorted(places, reverse=True)
    assert len(scale.ticks) >= 2
    assert scale.high >= max(values, default=0) * (1 - 1e-9)


@given(values=LATENCIES)
def test_ticks_are_few_and_on_the_axis(values: list[float]) -> None:
    """Ticks are distinct, ascending, between the ends, and no more than people read."""
    for scale in (scales.linear(values, 0.0, 100.0), scales.logarithmic(values, 0.0, 100.0)):
        assert list(scale.ticks) == sorted(set(scale.ticks))
        assert scale.low * (1 - 1e-6) <= scale.ticks[0]
        assert scale.ticks[-1] <= scale.high * (1 + 1e-6)
    assert len(scales.linear(values, 0.0, 100.0).ticks) <= 7


def test_each_nine_has_the_same_width() -> None:
    """From p90 to p99 is as far as from p99 to p99.9: the axis is logarithmic in what lies beyond."""
    scale = scales.of_percentiles(99.95, 0.0, 400.0)
    at = [scale.px(scales.beyond(percent)) for percent in (0, 90, 99, 99.9, 99.99)]
    assert at == pytest.approx([0, 100, 200, 300, 400])


@given(seconds=st.floats(0.1, 1e6))
def test_time_has_few_ticks_from_0_on(seconds: float) -> None:
    """Any duration has between one and nine ticks, the first at 0."""
    ticks = scales.of_time(seconds, 0.0, 100.0).ticks
    assert ticks[0] == 0
    assert len(ticks) <= 9


def test_a_line_stops_where_there_is_no_value() -> None:
    """None leaves a gap, and a point between two gaps is a dot: nothing is drawn through the unknown."""
    drawn = parsed(f"<g>{line([(0, 1), (1, 1), None, (3, 2), None, (5, 5), (6, 5)], 'q')}</g>")
    assert [numbers(path) for path in drawn.findall("path")] == [[0, 1, 1, 1], [5, 5, 6, 5]]
    dots = drawn.findall("circle")
    assert [(dot.get("cx"), dot.get("cy")) for dot in dots] == [("3", "2")]


def test_a_band_needs_both_its_lines() -> None:
    """Where either line has no value, the area between them ends."""
    drawn = parsed(f"<g>{band([(0, 1), (1, 1), (2, 1)], [(0, 5), (1, 5), None], 'q')}</g>")
    assert [numbers(path) for path in drawn.findall("path")] == [[0, 5, 1, 5, 1, 1, 0, 1]]


@given(places=st.lists(st.floats(20, 300), min_size=1, max_size=8))
def test_names_of_lines_never_cover_each_other(places: list[float]) -> None:
    """Names at the lines' ends stand a line of text apart, in the order of the lines, inside the chart."""
    named = [((10.0, y), f"n{number}", "q") for number, y in enumerate(places)]
    drawn = parsed(f"<g>{end_labels(named, 20.0, 300.0)}</g>")
    at = [float(label.get("y", "")) - 4 for label in drawn.findall("text")]
    assert all(b - a >= LABEL_HEIGHT_PX - 0.11 for a, b in pairwise(at))
    assert at[0] >= 20 - 0.11
    assert at[-1] <= 300 + 0.11


@given(count=st.integers(1, 3000))
def test_thinning_loses_no_delivery_and_no_bad_second(count: int) -> None:
    """A long run has at most so many points; their counts add up, and each shows the worst it stands for."""
    series = [row(t_s, max=float(t_s), expected=t_s % 7, p99=None) for t_s in range(count)]
    thin = overtime.thinned(series)
    assert len(thin) <= overtime.MAX_POINTS
    assert sum(one.expected for one in thin) == sum(one.expected for one in series)
    assert thin[-1].max == count - 1
    assert all(one.p99 is None for one in thin)


def test_the_short_rest_of_a_long_run_is_no_dip() -> None:
    """Seconds put together are drawn as a rate: the last point stands for fewer of them, and is as high."""
    rows = overtime.thinned([row(t_s) for t_s in range(2 * overtime.MAX_POINTS + 1)])
    drawn = parsed(overtime.deliveries(rows)).find("path[@class='line expected']")
    assert drawn is not None
    assert len(set(numbers(drawn)[1::2])) == 1


def test_latency_without_a_p99_draws_none() -> None:
    """A percentile with too few samples is neither drawn nor named, and told as what it is."""
    chart = parsed(overtime.latency([row(0, p99=None), row(1, p99=None)]))
    names = [label.text for label in chart.iter("text") if "name" in label.get("class", "")]
    assert sorted(filter(None, names)) == ["max", "p50", "p90"]
    assert not chart.findall("path[@class='line q-99']")
    told = json.loads(chart.get("data-hover", ""))
    assert ["p99", "too few samples"] in told[0][2]


def test_what_was_lost_is_marked_however_little_it_is() -> None:
    """One lost delivery among thousands gets a mark of its own; a full second gets none."""
    rows = [row(0, expected=9000, delivered=9000), row(1, expected=9000, delivered=8999)]
    assert len(parsed(overtime.deliveries(rows)).findall("circle[@class='lost']")) == 1


def test_every_chart_has_a_title_and_says_what_it_shows() -> None:
    """Each SVG is well-formed and labelled by a title and a description that are not empty."""
    series = [row(0), row(1, p50=None, p90=None, p99=None, max=None)]
    sizes = [Size("a", 100, 1.0, None, 4.0), Size("b & <c>", 1000, None, None, None)]
    bars = [Bar("median", [("stored", 1.0), ("read", None)])]
    for svg in (
        overtime.latency(series, limits=[("p(99)<5", 5.0)], stages=[(1.0, "9 users")]),
        overtime.deliveries(series),
        overtime.harness(series),
        distributions.percentiles({"k": ("each", [(0, 1.0), (50, 2.0), (99, 80.0)]), "n": ("none", [])}),
        distributions.groups(sizes),
        distributions.by_size(sizes),
        distributions.stacked("where", "Where", bars, {"stored": "part-0", "read": "part-1"}),
    ):
        chart = parsed(svg)
        title, description = chart.findtext("title"), chart.findtext("desc")
        assert title
        assert description
        labelled = (chart.get("aria-labelledby") or "").split()
        assert labelled == [f"{chart.get('id')}-title", f"{chart.get('id')}-desc"]


def test_a_stacked_bar_is_as_long_as_its_parts() -> None:
    """Parts follow each other, a pixel apart, in proportion to their time; an unknown part takes no room."""
    bars = [Bar("median", [("a", 30.0), ("b", None), ("c", 10.0)])]
    chart = parsed(distributions.stacked("w", "W", bars, {"a": "part-0", "b": "part-1", "c": "part-2"}))
    first, second = chart.findall("rect")
    widths = [float(one.get("width", "")) + 1 for one in (first, second)]
    assert widths[0] == pytest.approx(3 * widths[1], abs=0.2)
    assert float(second.get("x", "")) - float(first.get("x", "")) == pytest.approx(widths[0], abs=0.2)


def test_a_percentile_that_a_curve_lacks_is_told_as_the_next_slower_one() -> None:
    """Pointing between two points of a curve never shows less than what was measured."""
    curves = {"a": ("first", [(0, 1.0), (90, 5.0)]), "b": ("second", [(0, 1.0), (50, 3.0)])}
    told = json.loads(parsed(distributions.percentiles(curves)).get("data-hover", ""))
    at_50 = next(values for _, heading, values in told if heading == "p50")
    assert at_50 == [["first", "5.0 ms"], ["second", "3.0 ms"]]
    at_90 = next(values for _, heading, values in told if heading == "p90")
    assert at_90 == [["first", "5.0 ms"], ["second", "too few samples"]]
