"""The load test's report in a real browser, opened from a file."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loadtest.report import write_html, write_overview, write_png
from tests.unit.loadtest import made_up

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.chromium import Chromium, Page

CHARTS = ["latency", "deliveries", "deliveries", "percentiles", "harness", "harness"]
# Each canvas: its chart, its size, and how many pixels of the plot have a colour of their own.
DRAWN = """[...document.querySelectorAll('.chart canvas')].map(canvas => {
  const {width, height} = canvas, box = canvas.getBoundingClientRect();
  const pixels = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, width, height).data.buffer);
  return [canvas.closest('.chart').id, box.width, box.height, pixels.filter(pixel => pixel).length] })"""
COLOURS = """(() => { const style = getComputedStyle(document.body);
  const canvas = document.querySelector('#latency canvas'), context = canvas.getContext('2d');
  const wanted = getComputedStyle(document.documentElement).getPropertyValue('--blue');
  context.fillStyle = wanted;
  const blue = [1, 3, 5].map(at => parseInt(context.fillStyle.slice(at, at + 2), 16));
  const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) found += blue.every((one, by) => data[at + by] === one);
  return [style.backgroundColor, style.color, `rgb(${blue})`, found] })()"""
LEGEND = """[...document.querySelectorAll('#latency .u-series:not(.edge)')]
  .map(row => [...row.children].map(cell => cell.textContent))"""
SECONDS = "uPlot.sync('time').plots.map(plot => [plot.scales.x.min, plot.scales.x.max])"
# Texts of small pictures that stick out of them.
OUTSIDE = """[...document.querySelectorAll('svg text')].filter(text => {
  const own = text.getBoundingClientRect();
  const part = text.parentNode.querySelector('rect').getBoundingClientRect();
  return own.left < part.left || own.right > part.right }).map(text => text.textContent)"""


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
    drawn = await page.evaluate(DRAWN)
    assert [chart for chart, *_ in drawn] == CHARTS
    for _, width, height, pixels in drawn:
        assert width > 300
        assert height > 80
        assert pixels > 1000
    assert await page.evaluate("document.querySelectorAll('.range').length") == 2
    assert await page.evaluate("document.querySelectorAll('.bar').length") == 4
    assert await page.evaluate(OUTSIDE) == []
    assert page.errors == []


async def test_light_and_dark_differ_and_are_legible(chromium: Chromium, report_url: str) -> None:
    """The system's scheme decides; text and lines contrast with the background in both."""
    page = await chromium.open(report_url)
    light = await page.evaluate(COLOURS)
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    await page.command("Emulation.setEmulatedMedia", features=[scheme])
    await page.wait_for(f"({COLOURS})[3] > 100")
    dark = await page.evaluate(COLOURS)
    assert luminance(light[0]) > 0.8
    assert luminance(dark[0]) < 0.1
    for background, text, line, pixels in (light, dark):
        assert pixels > 100
        assert contrast(luminance(background), luminance(text)) >= 7
        assert contrast(luminance(background), luminance(line)) >= 4.5


async def test_pointing_at_a_chart_shows_its_values(chromium: Chromium, report_url: str) -> None:
    """A crosshair marks the nearest second, with its values beside it; both disappear on leaving."""
    page = await chromium.open(report_url, width_px=1040)
    await mouse(page, "mouseMoved", share=0.5)
    await page.wait_for(f"({LEGEND})[0][1]")
    told = dict(await page.evaluate(LEGEND))
    assert list(told) == ["time", "max", "p99", "p90", "p50"]
    assert told["time"].endswith(" s")
    assert all(told[name].endswith(" ms") for name in ("max", "p99", "p90", "p50"))
    assert (
        await page.evaluate("document.querySelector('#deliveries .x .u-value').textContent") == told["time"]
    )
    assert page.errors == []


async def test_dragging_zooms_all_charts_over_time_and_a_double_click_resets(
    chromium: Chromium, report_url: str
) -> None:
    """A dragged range is shown by all of them; a double click shows the whole run again."""
    page = await chromium.open(report_url, width_px=1040)
    whole = await page.evaluate(SECONDS)
    assert whole == [[0, 40]] * 5
    for kind, share in (
        ("mouseMoved", 0.4),
        ("mousePressed", 0.4),
        ("mouseMoved", 0.6),
        ("mouseReleased", 0.6),
    ):
        await mouse(page, kind, share=share)
    await page.wait_for(f"({SECONDS})[4][0] > 5")
    first, *others = await page.evaluate(SECONDS)
    assert 5 < first[0] < first[1] < 35
    assert others == [first] * 4
    for clicks in (1, 2):
        await mouse(page, "mousePressed", share=0.5, clicks=clicks)
        await mouse(page, "mouseReleased", share=0.5, clicks=clicks)
    await page.wait_for(f"({SECONDS})[4][0] === 0")
    assert await page.evaluate(SECONDS) == whole
    assert page.errors == []


async def test_keys_tell_values_zoom_and_reset(chromium: Chromium, report_url: str) -> None:
    """Arrows move from second to second and announce the values, + zooms in, Escape resets."""
    page = await chromium.open(report_url, width_px=1040)
    await page.evaluate("document.querySelector('#latency').focus()")
    said = "document.querySelector('#said').textContent"
    for _ in range(2):
        await press(page, "ArrowRight")
    await page.wait_for(f"{said}.startsWith('time 2 s, max ')")
    assert " ms, p50 " in await page.evaluate(said)
    await press(page, "+")
    await page.wait_for(f"({SECONDS})[0][1] < 40")
    assert await page.evaluate(SECONDS) == [[0, 12]] * 5
    await press(page, "Escape")
    await page.wait_for(f"({SECONDS})[0][1] === 40")
    assert page.errors == []


async def test_a_phone_scrolls_tables_and_not_the_page(chromium: Chromium, report_url: str) -> None:
    """At 390 pixels the page is as wide as the screen: only wide tables scroll, in their own frames."""
    page = await chromium.open(report_url, width_px=390)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.errors == []


async def test_without_scripts_all_values_are_there(chromium: Chromium, report_url: str) -> None:
    """Where scripts are off, the page says so, and each chart's values are in its table."""
    page = await chromium.open("about:blank")
    await page.command("Emulation.setScriptExecutionDisabled", value=True)
    await page.go_to(report_url)
    assert "Charts need scripts" in await page.evaluate("document.body.innerText")
    rows = """[...document.querySelectorAll('.chart')].map(
      chart => chart.closest('section').querySelectorAll('tr').length)"""
    assert min(await page.evaluate(rows)) > 4


async def test_a_second_between_gaps_is_a_dot(chromium: Chromium, tmp_path: Path) -> None:
    """A median with unknown neighbours on both sides has no line, but a dot."""
    result = made_up.result(seconds=60, members=(10,))
    series = [
        row if row.t_s == 30 else replace(row, p50=None, p90=None, p99=None, max=None)
        for row in result.series
    ]
    write_html(replace(result, series=tuple(series), thresholds=()), tmp_path / "gaps.html")
    page = await chromium.open((tmp_path / "gaps.html").as_uri())
    assert (await page.evaluate(COLOURS))[3] > 10


async def test_the_overview_is_drawn(chromium: Chromium, tmp_path: Path) -> None:
    """Runs of two targets and two sizes: one chart, nothing cut off, an empty console."""
    hostile = "<img src=x onerror=alert(1)>"
    runs = [
        made_up.result(seconds=30, members=(members,), rate=2, label=label, scale=scale)
        for members in (10, 100)
        for label, scale in (("groupcast", 1.0), (hostile, 8.0))
    ]
    write_overview(runs, tmp_path / "overview.html")
    page = await chromium.open((tmp_path / "overview.html").as_uri(), width_px=1040)
    ((chart, _, _, pixels),) = await page.evaluate(DRAWN)
    assert chart == "sizes"
    assert pixels > 1000
    names = "[...document.querySelectorAll('.u-label')].map(label => label.textContent)"
    both = [f"{label} {line}" for label in ("groupcast", hostile) for line in ("slowest", "median")]
    assert await page.evaluate(names) == ["members", *both]
    assert page.errors == []


async def test_the_picture_shows_the_whole_page(chromium: Chromium, tmp_path: Path) -> None:
    """The PNG is as tall as the page: a longer report makes a taller picture."""
    for timeline in (True, False):
        html, png = tmp_path / "report.html", tmp_path / "report.png"
        write_html(made_up.result(seconds=5, timeline=timeline), html)
        await asyncio.to_thread(write_png, html, png)
        head = png.read_bytes()[:24]
        assert head.startswith(b"\x89PNG\r\n\x1a\n")
        page = await chromium.open(html.as_uri(), width_px=1040)
        height = await page.evaluate("document.documentElement.scrollHeight")
        assert struct.unpack(">II", head[16:24]) == (1040, height)


async def mouse(page: Page, kind: str, *, share: float, clicks: int = 1) -> None:
    """Send a mouse event at a share of the width of the first chart's plot."""
    box = await page.evaluate("document.querySelector('#latency .u-over').getBoundingClientRect().toJSON()")
    held = {"button": "none"} if kind == "mouseMoved" else {"button": "left", "clickCount": clicks}
    place = {"x": box["x"] + box["width"] * share, "y": box["y"] + box["height"] / 2}
    await page.command("Input.dispatchMouseEvent", type=kind, **place, **held)


async def press(page: Page, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        await page.command("Input.dispatchKeyEvent", type=kind, key=key)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it, of `rgb(1, 2, 3)`."""
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, other: float) -> float:
    """Contrast ratio as WCAG 2 defines it."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
