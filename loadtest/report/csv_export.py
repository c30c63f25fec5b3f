"""A run second by second, for a spreadsheet."""

from __future__ import annotations

import csv
from dataclasses import astuple, fields
from typing import TYPE_CHECKING

from loadtest.results.result import Second

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.results.result import Result


def write_csv(result: Result, path: Path) -> None:
    """Write the seconds of the stages, with a header. Latencies are ms, empty with too few samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Second)])
        # csv writes None as an empty cell.
        writer.writerows(map(astuple, result.series))
