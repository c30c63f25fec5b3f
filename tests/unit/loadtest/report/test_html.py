"""The report as a file: what it says, and that nothing in it can do more than be read."""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from loadtest import report
from loadtest.errors import LoadTestError, ScenarioError
from loadtest.report.html import page
from loadtest.report.overview import overview
from loadtest.report.verdicts import headline
from loadtest.results.histogram import Histogram
from loadtest.results.result import LedgerTotals, Metric, Metrics, Result
from tests.unit.loadtest import made_up
from tests.unit.loadtest.made_up import changed

HOSTILE = "</script></svg><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\ud800\x00"


class Elements(HTMLParser):
    """What a browser would make of a page, roughly: elements with attributes, and the text shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.shown = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in {"script", "style"}:
            self.shown += f"{data}\n"

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.found if "id" in attributes]

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.found)


def test_the_headline_is_the_one_answer() -> None:
    """p99 and maximum of the last delivery, and what was lost of how much."""
    complete = "metrics.group_complete_ms"
    changes = {f"{complete}.p99": 182.2, f"{complete}.max": 240.0, "ledger.expected": 600_000}
    assert (
        headline(changed(made_up.result(), changes))
        == "last delivery: p99 182 ms, max 240 ms, 0 lost of 600,000"
    )


def test_a_percentile_without_enough_samples_is_never_a_number() -> None:
    """Three messages have no percentiles: they are told as too few samples, nowhere as 0."""
    result = made_up.result(seconds=3, rate=1, members=(5,), timeline=False)
    assert result.metrics.group_complete_ms.p50 is None
    shown = Elements(page(result)).shown
    assert "too few samples" in shown
    assert not re.search(r"\b0(?:\.0+)? ms", shown)
    assert "None" not in shown
    assert "nan" not in shown


def test_what_was_not_measured_has_no_headline_number() -> None:
    """Where the harness was the bottleneck, title and key figures hold its counts but no latency."""
    reasons = ("a harness process used 99% of a core",)
    result = made_up.result(status="not measured", reasons=reasons)
    assert headline(result) == "not measured, 0 lost of 60,000"
    written = page(result)
    tiles = written[written.index('class="tiles"') : written.index('id="latency-over-time"')]
    assert not re.search(r"\d m?s\b", tiles)
    assert tiles.count("not measured") == 3
    assert reasons[0] in Elements(written).shown
    assert "see the reasons at the top" in written


def test_lost_deliveries_stand_in_headline_and_ledger() -> None:
    """A count that should be 0 and is not is told in words and marked with a cross."""
    shown = Elements(page(made_up.result(lost=37, status="threshold failed", reasons=("lost",)))).shown
    assert "37 lost of 60,000" in shown
    assert "✗ 37" in shown
    assert "37 never arrived" in shown


@pytest.mark.parametrize("path", ["target.label", "target.url", "machine.platform", "machine.python"])
def test_text_from_outside_is_shown_and_nothing_else(path: str) -> None:
    """Markup in any text of the result is text in the page, even with characters that no file may hold."""
    plain, hostile = page(made_up.result()), page(changed(made_up.result(), {path: HOSTILE}))
    hostile.encode()
    elements = Elements(hostile)
    assert [name for name, _ in elements.found] == [name for name, _ in Elements(plain).found]
    assert "<script>alert(1)" in elements.shown
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)


def test_hostile_lists_are_text_too() -> None:
    """Groups' names, reasons and the command line are escaped as everything else, in SVG as in HTML."""
    changes = {"verdict.reasons": [HOSTILE], "groups.0.group": HOSTILE, "command": ["run", HOSTILE]}
    elements = Elements(page(changed(made_up.result(), changes)))
    assert elements.count("script") == 1
    assert elements.count("img") == 0


def test_the_page_needs_nothing_and_allows_nothing_else() -> None:
    """No address is loaded; the policy admits the page's own style and script by their hashes, no others."""
    written = page(made_up.result())
    elements = Elements(written)
    for name, attributes in elements.found:
        assert name not in {"iframe", "object", "embed", "base", "form"}
        for key in ("src", "href", "action", "srcset", "data"):
            assert attributes.get(key) in (None, "data:,")
        assert "style" not in attributes
    assert "url(" not in written
    assert "@import" not in written
    policy = next(a["content"] for n, a in elements.found if n == "meta" and "http-equiv" in a) or ""
    assert "default-src 'none'" in policy
    for tag in ("style", "script"):
        inside = written[written.index(f"<{tag}>") + len(tag) + 2 : written.index(f"</{tag}>")]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_all_charts_are_there_with_their_tables() -> None:
    """Four charts with a name, a description and keys; every card with a chart or bars has a table."""
    written = page(made_up.result())
    elements = Elements(written)
    charts = {a["id"]: a for _, a in elements.found if "data-panels" in a}
    assert set(charts) == {"latency", "percentiles", "deliveries", "harness"}
    assert len(elements.ids()) == len(set(elements.ids()))
    for chart in charts.values():
        assert chart["aria-label"]
        assert chart["aria-describedby"] in elements.ids()
        assert chart["tabindex"] == "0"
    assert elements.count("caption") == elements.count("table") == 11
    for identity in ("latency", "percentiles", "deliveries", "harness", "group-size", "where-the-time-goes"):
        section = written[written.index(f'id="{identity}"') :].partition("</section>")[0]
        assert "<table>" in section


def test_many_groups_show_the_slowest_and_keep_all_in_a_table() -> None:
    """Of twenty groups the twelve slowest have bars; all twenty stand in the table behind them."""
    elements = Elements(page(made_up.result(seconds=4, members=tuple(range(10, 30)), timeline=False)))
    assert sum(a.get("class") == "range" for _, a in elements.found) == 12
    assert "The 12 slowest of 20 groups." in elements.shown
    assert elements.shown.count("load-") == 32


def test_the_license_of_the_charts_library_is_in_the_file() -> None:
    """uPlot may be copied with its notice alone."""
    written = page(made_up.result())
    assert "Copyright (c) 2022 Leon Sorokin" in written
    assert "The above copyright notice and this permission notice shall be included" in written


def test_a_run_that_could_not_tell_where_the_time_goes_does_not_guess() -> None:
    """Without a timeline the section is left out."""
    assert "where-the-time-goes" not in page(made_up.result(timeline=False))


def test_a_run_that_was_stopped_at_once_has_a_report() -> None:
    """No second, no sample, no group: the page says so and draws nothing."""
    result = made_up.result(seconds=2, status="interrupted", reasons=("the run was interrupted",))
    empty = Metric.of(Histogram())
    result = replace(
        result,
        metrics=Metrics(empty, empty, empty, empty),
        series=(),
        groups=(),
        where=(),
        thresholds=(),
        ledger=LedgerTotals(0, 0, 0, 0, 0, 0, 0, 0),
        health=replace(result.health, floor_ms=None),
    )
    elements = Elements(page(result))
    assert elements.count("svg") == 0
    assert not any("data-panels" in a for _, a in elements.found)
    assert "No message reached all its members, 0 lost of 0" in elements.shown


def test_a_long_run_stays_a_small_file() -> None:
    """Six hours have as many points as charts can show: the page does not grow with the run."""
    hour = made_up.result(seconds=5, members=(10,))
    series = tuple(replace(hour.series[0], t_s=t_s) for t_s in range(6 * 3600))
    written = page(replace(hour, series=series))
    assert len(written) < 1_000_000
    assert "each point is the worst of 45 seconds" in written


def test_the_overview_names_each_target_at_the_largest_size() -> None:
    """Runs of two targets become one chart and one answer; what measured nothing is in the table only."""
    runs = [
        made_up.result(seconds=30, members=(members,), rate=2, label=label, scale=scale)
        for members in (10, 100)
        for label, scale in (("groupcast", 1.0), ("peer", 8.0))
    ]
    runs.append(made_up.result(seconds=5, members=(1000,), rate=2, status="not measured", reasons=("busy",)))
    title, content = overview(runs)
    assert title.startswith("last of 100 members: groupcast ")
    assert ", peer " in title
    elements = Elements("".join(map(str, content)))
    assert sum("data-panels" in a for _, a in elements.found) == 1
    assert elements.shown.count("not measured") == 4


def test_csv_has_a_line_a_second(tmp_path: Path) -> None:
    """Every second of the run, under names, with empty cells where there were too few samples."""
    result = changed(made_up.result(seconds=4), {"series.2.p99": None})
    report.write_csv(result, tmp_path / "new" / "run.csv")
    with (tmp_path / "new" / "run.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["t_s"] for row in rows] == ["0", "1", "2", "3"]
    assert rows[2]["p99"] == ""
    assert float(rows[1]["max"]) == result.series[1].max


def test_without_a_browser_the_picture_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No Chromium on the path: one sentence with what to install, and no file."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LoadTestError, match="apt-get install chromium"):
        report.write_png(tmp_path / "report.html", tmp_path / "report.png")
    assert not (tmp_path / "report.png").exists()


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    report.add_arguments(parser)
    return parser.parse_args(arguments)


def saved(path: Path, result: Result) -> str:
    path.write_bytes(result.to_json())
    return str(path)


async def test_report_reads_what_run_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A saved result becomes the page and the table, and its answer is printed."""
    result = made_up.result(seconds=4)
    html, table = tmp_path / "r.html", tmp_path / "r.csv"
    options = parsed(saved(tmp_path / "r.json", result), "--html", str(html), "--csv", str(table))
    assert await report.main(options) == 0
    assert html.read_text() == page(result)
    assert table.exists()
    assert capsys.readouterr().out == f"{headline(result)}\n"


async def test_report_of_several_results_compares_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two results give the overview; a CSV of two is refused, for it would mix them."""
    paths = [saved(tmp_path / f"{size}.json", made_up.result(seconds=3, members=(size,))) for size in (5, 50)]
    assert await report.main(parsed(*paths, "--html", str(tmp_path / "both.html"))) == 0
    assert "last of 50 members" in capsys.readouterr().out
    assert (tmp_path / "both.html").read_text().count("data-panels=") == 1
    with pytest.raises(ScenarioError, match="one result"):
        await report.main(parsed(*paths, "--csv", str(tmp_path / "both.csv")))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 1}', "not JSON"])
async def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    """A file of another kind ends with its name and the reason, and nothing is written."""
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=r"other\.json"):
        await report.main(parsed(str(path), "--html", str(tmp_path / "r.html")))
    assert not (tmp_path / "r.html").exists()
