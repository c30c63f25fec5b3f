"""Cold-start figures at each memory size, and the recommended size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from loadtest.bench.memory_table import CORE_MB, Sample, as_table, chosen_size

SIZES_MB = (256, 512, 1024, CORE_MB)
SMALL = Sample("after", "one", 256, 100, 10, 1, 50, None)


def test_a_module_has_a_whole_cpu_and_a_handler_its_share() -> None:
    """At 1,769 MB that is a whole one; more helps neither."""
    found = [SMALL.cold_ms(size_mb) for size_mb in (256, CORE_MB, 3_000)]
    assert found == pytest.approx([100 + 10 * CORE_MB / 256, 110, 110])


@pytest.mark.parametrize(
    ("changes", "size_mb"),
    [
        ({}, 256),
        ({"peak_mb": 200}, 512),
        ({"handler_cpu_ms": 300}, 1024),
        ({"warm_cpu_ms": 5}, 1024),
        ({"warm_cpu_ms": 50}, CORE_MB),
    ],
)
def test_the_smallest_size_within_all_limits_is_chosen(changes: dict[str, Any], size_mb: int) -> None:
    """Spare memory, a first answer in time, and later ones in time."""
    assert chosen_size([replace(SMALL, **changes)], SIZES_MB) == size_mb


def test_versions_are_compared_pair_by_pair() -> None:
    """At the given memory: the median and the range of the pairs' ratios."""
    samples = [
        Sample(version, "one", 256, cpu_ms, 0, 1, 50, wall_ms)
        for before, after in ((100, 20), (400, 120), (100, 50))
        for version, cpu_ms, wall_ms in (("before", before, 500), ("after", after, None))
    ]
    table = as_table(samples, ["one"], SIZES_MB, {"one": 256})
    assert "| one | before | 100 | 0 | 100 (500) | 100 | 100 | 100 | 1.0 | 50 MB | 256 MB |" in table
    assert table.endswith("| one | 256 MB | 100 | 50 | 0.30 | 0.20 to 0.50 |")
    assert as_table(samples[1::2], ["one"], SIZES_MB, {"one": 256}).count("\n") == 2
