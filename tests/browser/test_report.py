"""The load test's report in a real browser, opened from a file."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from loadtest.report import write_html, write_overview, write_png
from tests.browser.chromium import find_chromium
from tests.unit.loadtest import made_up

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.chromium import Chromium

CHARTS = "latency percentiles deliveries groups where-express where-stream-offer harness".split()
# Drawn shapes with a size; a path without width or height would show nothing.
SIZES = """[...document.querySelectorAll('svg')].map(svg => [svg.id, ...['path', 'rect', 'text'].map(
  kind => [...svg.querySelectorAll(kind)].filter(
    one => { const box = one.getBoundingClientRect(); return box.width > 0 || box.height > 0 }).length),
  svg.getBoundingClientRect().width, svg.getBoundingClientRect().height])"""
COLOURS = """(() => { const style = getComputedStyle(document.body);
  const line = getComputedStyle(document.querySelector('#latency .line.q-99'));
  return [style.backgroundColor, style.color, line.stroke] })()"""
OUTSIDE = """[...document.querySelectorAll('svg text')].filter(text => {
  const own = text.getBoundingClientRect(), chart = text.ownerSVGElement.getBoundingClientRect();
  return own.left < chart.left - 1 || own.right > chart.right + 1 || own.top < chart.top - 1
    || own.bottom > chart.bottom + 1 }).map(text => text.ownerSVGElement.id + ': ' + text.textContent)"""

CROSS = "getComputedStyle(document.querySelector('#latency .cross')).display"


@pytest.fixture
def report_url(tmp_path: Path) -> str:
    """A report of a run with every section, two groups and losses."""
    path = tmp_path / "report.html"
    result = made_up.result(seconds=40, members=(200, 30), lost=12, label="groupcast, one post each")
    write_html(result, path)
    return path.as_uri()


@pytest.mark.parametrize("dark", [False, True])
async def test_all_charts_are_drawn(chromium: Chromium, report_url: str, *, dark: bool) -> None:
    """Each chart has lines or bars with a size, no label is cut off, and the console stays empty."""
    page = await chromium.open(report_url, width_px=1040, dark=dark)
    drawn = {chart: rest for chart, *rest in await page.evaluate(SIZES)}
    assert list(drawn) == CHARTS
    for paths, rects, texts, width, height in drawn.values():
        assert paths + rects > 0
        assert texts >= 3
        assert width > 300
        assert height > 80
    assert await page.evaluate(OUTSIDE) == []
    assert page.errors == []


async def test_light_and_dark_differ_and_are_legible(chromium: Chromium, report_url: str) -> None:
    """The system's scheme decides; text and lines contrast with the background in both."""
    schemes = [await (await chromium.open(report_url, dark=dark)).evaluate(COLOURS) for dark in (False, True)]
    light, dark = ([luminance(colour) for colour in scheme] for scheme in schemes)
    assert light[0] > 0.8
    assert dark[0] < 0.1
    for background, text, line in (light, dark):
        assert contrast(background, text) >= 7
        assert contrast(background, line) >= 4.5


async def test_pointing_at_a_chart_shows_its_values(chromium: Chromium, report_url: str) -> None:
    """A crosshair marks the nearest second, with its values beside it; both disappear on leaving."""
    page = await chromium.open(report_url, width_px=1040)
    box = await page.evaluate("document.querySelector('#latency').getBoundingClientRect().toJSON()")
    middle = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    await page.command("Input.dispatchMouseEvent", type="mouseMoved", **middle)
    await page.wait_for("document.querySelector('#tip').classList.contains('shown')")
    told = await page.evaluate("document.querySelector('#tip').innerText")
    assert "p99" in told
    assert " ms" in told
    assert await page.evaluate(CROSS) == "block"
    await page.command("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    await page.wait_for("!document.querySelector('#tip').classList.contains('shown')")
    assert await page.evaluate(CROSS) == "none"
    assert page.errors == []


async def test_a_phone_scrolls_charts_and_not_the_page(chromium: Chromium, report_url: str) -> None:
    """At 390 pixels the page fits the screen; wide content scrolls in its own frame."""
    page = await chromium.open(report_url, width_px=390)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.errors == []


async def test_without_scripts_only_the_crosshair_is_missing(chromium: Chromium, report_url: str) -> None:
    """Charts are complete markup."""
    page = await chromium.open("about:blank")
    await page.command("Emulation.setScriptExecutionDisabled", value=True)
    await page.go_to(report_url)
    drawn = [chart for chart, paths, rects, *_ in await page.evaluate(SIZES) if paths + rects > 0]
    assert drawn == CHARTS


async def test_the_overview_is_drawn(chromium: Chromium, tmp_path: Path) -> None:
    """Runs of two targets and two sizes: one chart, nothing cut off, an empty console."""
    runs = [
        made_up.result(seconds=30, members=(members,), rate=2, label=label, scale=scale)
        for members in (10, 100)
        for label, scale in (("groupcast", 1.0), ("aioboto3 gather", 8.0))
    ]
    write_overview(runs, tmp_path / "overview.html")
    page = await chromium.open((tmp_path / "overview.html").as_uri(), width_px=1040)
    ((chart, paths, *_),) = await page.evaluate(SIZES)
    assert (chart, paths) == ("sizes", 4)
    assert await page.evaluate(OUTSIDE) == []
    assert page.errors == []


def test_the_picture_shows_the_whole_page(tmp_path: Path) -> None:
    """The PNG is as tall as the page: a longer report makes a taller picture."""
    if find_chromium() is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    heights = []
    for name, timeline in (("long", True), ("short", False)):
        html, png = tmp_path / f"{name}.html", tmp_path / f"{name}.png"
        write_html(made_up.result(seconds=5, timeline=timeline), html)
        write_png(html, png)
        head = png.read_bytes()[:24]
        assert head.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", head[16:24])
        assert width == 1040
        heights.append(height)
    assert heights[0] > heights[1] > 1000


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it, of `rgb(1, 2, 3)`."""
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, other: float) -> float:
    """Contrast ratio as WCAG 2 defines it."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
