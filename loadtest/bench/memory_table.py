"""The table of cold starts with the recommended size of each function. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CORE_MB = 1769
COLD_MS_MAX = 700.0
WARM_MS_MAX = 15.0
ROOM = 1.5


@dataclass(frozen=True, slots=True)
class Sample:
    """One environment: CPU time of loading, of the first call and of later calls, and peak memory.

    `wall_ms` is from the module's first line to the first answer, under the quota of `size_mb`; None without
    a quota.
    """

    version: str
    function: str
    size_mb: int
    module_cpu_ms: float
    handler_cpu_ms: float
    warm_cpu_ms: float
    peak_mb: float
    wall_ms: float | None

    def cold_ms(self, size_mb: int) -> float:
        """The time to the first answer at a size, computed from CPU time."""
        return self.module_cpu_ms + at_size(self.handler_cpu_ms, size_mb)


def at_size(cpu_ms: float, size_mb: int) -> float:
    """The duration of a handler's CPU time at a size. A second core does not shorten it."""
    return cpu_ms * max(1.0, CORE_MB / size_mb)


def chosen_size(samples: Sequence[Sample], sizes_mb: Sequence[int]) -> int:
    """The smallest size that meets all limits; a whole core if none does."""
    for size_mb in sizes_mb:
        cold_ms = median(one.cold_ms(size_mb) for one in samples)
        warm_ms = median(at_size(one.warm_cpu_ms, size_mb) for one in samples)
        peak_mb = max(one.peak_mb for one in samples)
        if cold_ms <= COLD_MS_MAX and warm_ms <= WARM_MS_MAX and peak_mb * ROOM <= size_mb:
            return size_mb
    return CORE_MB


def as_table(
    samples: Sequence[Sample],
    functions: Sequence[str],
    sizes_mb: Sequence[int],
    memory_mb: Mapping[str, int],
) -> str:
    """Format as Markdown: a row for each function and version, then the ratios at the old memory size."""
    versions = list(dict.fromkeys(one.version for one in samples))
    head = ["function", "version", "module", "handler", *(f"{size:,} MB" for size in sizes_mb)]
    rows = [[*head, "warm", "peak", "size"]]
    for function in functions:
        for version in versions:
            found = [one for one in samples if (one.function, one.version) == (function, version)]
            rows.append([function, version, *_cells(found, sizes_mb)])
    table = _markdown(rows)
    if len(versions) == 1:
        return table
    ratios = [["function", "memory", "cold, before", "after", "after / before", "low to high"]]
    ratios += [_ratio_row(samples, function, memory_mb[function], versions) for function in functions]
    return f"{table}\n\n{_markdown(ratios)}"


def _cells(found: Sequence[Sample], sizes_mb: Sequence[int]) -> list[str]:
    cold = []
    for size_mb in sizes_mb:
        cell = f"{median(one.cold_ms(size_mb) for one in found):,.0f}"
        walls = [one.wall_ms for one in found if one.size_mb == size_mb and one.wall_ms is not None]
        cold.append(f"{cell} ({median(walls):,.0f})" if walls else cell)
    return [
        f"{median(one.module_cpu_ms for one in found):,.0f}",
        f"{median(one.handler_cpu_ms for one in found):,.0f}",
        *cold,
        f"{median(one.warm_cpu_ms for one in found):.1f}",
        f"{max(one.peak_mb for one in found):.0f} MB",
        f"{chosen_size(found, sizes_mb):,} MB",
    ]


def _ratio_row(
    samples: Iterable[Sample], function: str, memory_mb: int, versions: Sequence[str]
) -> list[str]:
    before, after = (
        [one.cold_ms(memory_mb) for one in samples if (one.function, one.version) == (function, version)]
        for version in versions
    )
    # Versions ran alternately, so equal positions form a pair.
    ratios = sorted(theirs / ours for ours, theirs in zip(before, after, strict=True))
    return [
        function,
        f"{memory_mb:,} MB",
        f"{median(before):,.0f}",
        f"{median(after):,.0f}",
        f"{median(ratios):.2f}",
        f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
    ]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *others = rows
    lines = [head, ["---"] * len(head), *others]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
