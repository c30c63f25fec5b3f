"""Charts as data, and the small pictures in tables."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import htpy as h
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.report import bars, charts
from loadtest.report.charts import Line, Panel, Size
from loadtest.report.thinning import MAX_POINTS, Row, thinned


def panels(chart: h.Element) -> tuple[Panel, ...]:
    """The data of a chart, as its page has them."""
    return msgspec.json.decode(parsed(chart).get("data-panels", ""), type=tuple[Panel, ...])


def parsed(drawn: h.Node) -> Any:
    # Made by this project, from numbers.
    return ET.fromstring(str(drawn))  # noqa: S314 - see above


def line(panel: Panel, name: str) -> Line:
    return next(one for one in panel.lines if one.name == name)


def row(t_s: int, **values: Any) -> Row:
    known = {"users": 5, "sent": 1, "expected": 5, "delivered": 5, "p50": 1.0, "p90": 2.0, "p99": 3.0}
    return Row(**{"t_s": t_s, **known, "max": 4.0, "loop_lag_ms_max": 0.5, "cpu": 0.1, **values})


@pytest.mark.parametrize(
    ("values", "log"), [([], False), ([0.0, 5.0], False), ([1.0, 12.0], False), ([1.0, 12.1, 0.0], True)]
)
def test_an_axis_is_logarithmic_only_for_a_large_spread(values: list[float], log: bool) -> None:
    """More than twelvefold between positive values; 0 is not a spread."""
    assert charts.is_log(values) is log


@given(count=st.integers(1, 3000))
def test_thinning_loses_no_delivery_and_no_bad_second(count: int) -> None:
    """A long run has at most so many points; their counts add up, and each shows its worst second."""
    series = [row(t_s, max=float(t_s), expected=t_s % 7, p99=None) for t_s in range(count)]
    thin = thinned(series)
    assert len(thin) <= MAX_POINTS
    assert sum(one.expected for one in thin) == sum(one.expected for one in series)
    assert thin[-1].max == count - 1
    assert all(one.p99 is None for one in thin)


def test_the_short_rest_of_a_long_run_is_no_dip() -> None:
    """Merged seconds are drawn as a rate: the last point has fewer of them, and is as high."""
    deliveries, _ = panels(charts.deliveries(thinned([row(t_s) for t_s in range(2 * MAX_POINTS + 1)])))
    assert set(line(deliveries, "expected").values) == {5.0}
    assert line(deliveries, "expected").told[-2:] == [15, 5]


def test_time_goes_on_until_the_end_of_the_last_second() -> None:
    """Two seconds from 0 on have three places in time."""
    for chart in (charts.latency, charts.deliveries, charts.harness):
        assert {tuple(panel.x) for panel in panels(chart([row(0), row(1)]))} == {(0, 1, 2)}


def test_unknown_percentiles_are_gaps_and_leave_no_hole_between_bands() -> None:
    """Without p99 the bands meet at the slowest delivery; without a median there is no band."""
    (panel,) = panels(charts.latency([row(0), row(1, p99=None), row(2, p99=None, p90=None, p50=None)]))
    assert line(panel, "p99").values == [3.0, None, None]
    assert line(panel, "max").values == [4.0, 4.0, 4.0]
    edges = [one.values for one in panel.lines if one.style == "edge"]
    assert edges == [[4.0, 4.0, None], [3.0, 4.0, None], [2.0, 2.0, None]]
    # Each band lies between two neighbours, from the slowest down to the median.
    assert [(upper, lower) for upper, lower, _ in panel.bands] == [(0, 1), (1, 2), (2, 6)]
    assert panel.lines[6].name == "p50"


def test_thresholds_and_stages_reach_the_chart() -> None:
    """Both are drawn at their values, and a distant threshold counts for the axis."""
    (panel,) = panels(charts.latency([row(0)], limits=[("p(99)<500", 500.0)], stages=[(1.0, "9 users")]))
    assert list(map(tuple, panel.limits)) == [("p(99)<500", 500.0)]
    assert list(map(tuple, panel.stages)) == [(1.0, "9 users")]
    assert panel.is_log


def test_each_nine_has_the_same_width_and_no_value_looks_faster_than_measured() -> None:
    """The axis is 1/(1-p), logarithmic; between its points a curve tells its next higher one."""
    curves = {"blue": ("a", [(0, 1.0), (90, 2.0), (99, 8.0), (100, 9.0)]), "teal": ("b", [(50, 3.0)])}
    (panel,) = panels(charts.percentiles(curves))
    assert panel.x == [1, 2, 10, 100]
    assert line(panel, "a").values == [1.0, None, 2.0, 8.0]
    assert line(panel, "a").told == [1.0, 2.0, 2.0, 8.0]
    assert line(panel, "b").told == [3.0, 3.0, None, None]


def test_lost_deliveries_are_marked_however_few() -> None:
    """One lost delivery among thousands gets a mark with its count; a run without losses has none."""
    complete, lossy = (row(t_s, expected=9000, delivered=9000 - t_s) for t_s in (0, 1))
    marks = line(panels(charts.deliveries([complete, lossy]))[0], "lost")
    assert (marks.values, marks.told) == ([None, 9000.0], [0, 1])
    assert [one.name for one in panels(charts.deliveries([complete]))[0].lines] == ["delivered", "expected"]


def test_a_comparison_has_a_median_and_a_slowest_line_for_each_label() -> None:
    """Sizes that a label lacks are gaps, and a line without values is left out."""
    sizes = [Size("a", 10, 1.0, None, 4.0), Size("b", 20, None, None, 6.0), Size("a", 30, 2.0, None, 5.0)]
    (panel,) = panels(charts.by_size(sizes))
    assert panel.x == [10, 20, 30]
    assert {one.name: one.values for one in panel.lines} == {
        "a slowest": [4.0, None, 5.0],
        "a median": [1.0, None, 2.0],
        "b slowest": [None, 6.0, None],
    }
    assert [one.dashed for one in panel.lines] == [True, False, True]
    assert len({one.ink for one in panel.lines}) == 2


def test_every_chart_says_its_values_in_words() -> None:
    """Name and description are not empty, and the description has numbers."""
    series = [row(0), row(1, p50=None, p90=None, p99=None, max=None)]
    sizes = [Size("a", 100, 1.0, None, 4.0), Size("b & <c>", 1000, None, None, None)]
    for chart in (
        charts.latency(series),
        charts.deliveries(series),
        charts.harness(series),
        charts.percentiles({"blue": ("each", [(0, 1.0), (50, 2.0), (99, 80.0)]), "teal": ("none", [])}),
        charts.by_size(sizes),
    ):
        element = parsed(chart)
        assert element.get("aria-label")
        (description,) = element.findall(f"p[@id='{element.get('aria-describedby')}']")
        assert any(character.isdigit() for character in description.text)


def test_a_stacked_bar_is_as_long_as_its_parts() -> None:
    """Parts follow each other in proportion to their time, each with its value where it has room."""
    bar = parsed(
        bars.stacked([("stored", "part-0", 30.0), ("read", "part-1", 1.0), ("sent", "part-2", 9.0)], 80.0)
    )
    assert [(part.get("x"), part.get("width")) for part in bar] == [
        ("0.00%", "37.50%"),
        ("37.50%", "1.25%"),
        ("38.75%", "11.25%"),
    ]
    assert [part.findtext("text") for part in bar] == ["30.0 ms", None, "9.0 ms"]
    assert [part.findtext("title") for part in bar] == ["stored 30.0 ms", "read 1.0 ms", "sent 9.0 ms"]


@pytest.mark.parametrize(
    ("slowest", "extent"), [(20.0, "0 to 20.0 ms"), (2000.0, "4.0 ms to 2,000 ms (log)")]
)
def test_ranges_share_an_axis_and_keep_their_order(slowest: float, extent: str) -> None:
    """Median, p99 and slowest of all groups lie in order between the ends of one axis."""
    sizes = [
        Size("a", 10, 4.0, 8.0, 10.0),
        Size("b", 10, 5.0, None, slowest),
        Size("c", 10, None, None, None),
    ]
    told, drawn = bars.ranges(sizes)
    assert told == extent
    places = []
    for range_ in map(parsed, drawn[:2]):
        span = range_.find("line[@class='span']")
        places.append([float(span.get(end).removesuffix("%")) for end in ("x1", "x2")])
    assert 0 < places[0][0] < places[0][1] < places[1][1] < 100
    assert places[0][0] < places[1][0]
    assert drawn[2] == "too few samples"
