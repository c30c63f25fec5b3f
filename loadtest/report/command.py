"""`python -m loadtest report`: saved results as HTML, PNG or CSV."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from loadtest.errors import ScenarioError
from loadtest.report.csv_export import write_csv
from loadtest.report.html import write_html, write_overview
from loadtest.report.overview import overview
from loadtest.report.png import write_png
from loadtest.report.verdicts import headline
from loadtest.results.result import Result

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT.json", help="from `run --json`")
    parser.add_argument("--html", type=Path, metavar="FILE", help="report of one run, or a comparison")
    parser.add_argument("--png", type=Path, metavar="FILE", help="a picture of it (needs Chromium)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="one run by second")


async def main(options: argparse.Namespace) -> int:
    """Write the requested files, and print the main finding.

    Raises ScenarioError if a file is not a result, LoadTestError if the PNG finds no Chromium.
    """
    results = [_read(path) for path in options.results]
    if options.csv and len(results) > 1:
        raise ScenarioError("--csv takes one result")
    if options.html:
        _write_html(results, options.html)
    if options.csv:
        write_csv(results[0], options.csv)
    if options.png:
        with TemporaryDirectory(prefix="report-") as folder:
            html = Path(folder, "report.html")
            _write_html(results, html)
            write_png(html, options.png)
    print(headline(results[0]) if len(results) == 1 else overview(results)[0])
    return 0


def _read(path: Path) -> Result:
    try:
        return Result.from_json(path.read_bytes())
    except (OSError, ValueError, ScenarioError) as error:
        raise ScenarioError(f"{path}: {error}") from error


def _write_html(results: Sequence[Result], path: Path) -> None:
    if len(results) == 1:
        write_html(results[0], path)
    else:
        write_overview(results, path)
