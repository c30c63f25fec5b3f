"""The run second by second, for a spreadsheet."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COLUMNS = tuple("t_s users sent expected delivered p50 p90 p99 max loop_lag_ms_max cpu".split())


def write_csv(result: Mapping[str, Any], path: Path) -> None:
    """Write one line a second under a head; latencies in ms, empty where there were too few samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        # csv writes None as an empty cell.
        writer.writerows([row[column] for column in COLUMNS] for row in result["series"])
