"""Combines the tallies of all workers. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from loadtest.clock import NS_PER_S, NS_PER_US, US_PER_MS
from loadtest.results.histogram import Histogram
from loadtest.results.ledger import Row
from loadtest.results.result import Floor, GroupRow, Health, LedgerTotals, Metric, Metrics, Second, rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from loadtest.plan.schedule import PlannedMessage
    from loadtest.results.tally import Tally, WorkerProgress

_COUNTS = tuple(LedgerTotals.__dataclass_fields__)
_NOTHING = Row(0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Message:
    """One message, over all workers. `second` counts from the end of the warm-up."""

    due: PlannedMessage
    due_ns: int
    second: int
    row: Row
    sent: bool
    exists: bool

    @property
    def complete_ns(self) -> int | None:
        """When the last member received it; None if one did not."""
        whole = self.row.eligible and self.row.received == self.row.eligible
        return self.row.last_ns if whole else None


def messages_of(
    due: Sequence[PlannedMessage], start_ns: int, warmup_s: float, tallies: Sequence[Tally]
) -> list[Message]:
    """All messages that were due. One exists if it was acknowledged or anyone received it."""
    sent = {number for tally in tallies for number in tally.sent}
    acknowledged = {number for tally in tallies for number in tally.acknowledged}
    messages = []
    rows = zip_longest(*(tally.rows for tally in tallies), fillvalue=_NOTHING)
    for message, parts in zip(due, rows, strict=False):
        row = _sum(Row(*part) for part in parts)
        due_ns = start_ns + message.offset_ns
        messages.append(
            Message(
                due=message,
                due_ns=due_ns,
                second=(message.offset_ns - round(warmup_s * NS_PER_S)) // NS_PER_S,
                row=row,
                sent=message.number in sent,
                exists=message.number in acknowledged or bool(row.received),
            )
        )
    return messages


def ledger_of(messages: Iterable[Message], tallies: Sequence[Tally]) -> LedgerTotals:
    """The counts of all processes."""
    rows = [message.row for message in messages if message.exists]
    total = _sum(rows)
    return LedgerTotals(
        expected=total.eligible,
        received=total.received,
        lost=total.eligible - total.received,
        duplicate=total.duplicate,
        out_of_order=total.out_of_order,
        sent=sum(len(tally.sent) for tally in tallies),
        acknowledged=sum(len(tally.acknowledged) for tally in tallies),
        refused=sum(tally.refused for tally in tallies),
    )


def ledger_so_far(known: Sequence[WorkerProgress]) -> LedgerTotals:
    """The counts of a run so far."""
    return LedgerTotals(**{name: sum(progress.ledger[name] for progress in known) for name in _COUNTS})


def histograms_so_far(known: Sequence[WorkerProgress]) -> dict[str, Histogram]:
    """Latencies by metric, without group_complete_ms, which no single process knows."""
    names = ("connect_ms", "ack_ms", "delivery_ms")
    return {name: merged(progress.histograms[name] for progress in known) for name in names}


def histograms_of(messages: Iterable[Message], tallies: Sequence[Tally]) -> dict[str, Histogram]:
    """Latencies by metric."""
    complete = Histogram()
    for message in messages:
        _record_completion(complete, message)
    return {
        "connect_ms": merged(tally.connect for tally in tallies),
        "ack_ms": merged(tally.ack for tally in tallies),
        "delivery_ms": merged(part for tally in tallies for _, part in tally.delivery),
        "group_complete_ms": complete,
    }


def metrics_of(histograms: Mapping[str, Histogram]) -> Metrics:
    return Metrics(**{name: Metric.of(histogram) for name, histogram in histograms.items()})


def series_of(messages: Sequence[Message], tallies: Sequence[Tally], seconds: int) -> list[Second]:
    """The first `seconds` seconds of the stages."""
    latencies: defaultdict[int, Histogram] = defaultdict(Histogram)
    for second, part in (part for tally in tallies for part in tally.delivery):
        latencies[second].merge(Histogram.from_dict(part))
    sent = Counter(message.second for message in messages if message.sent)
    expected: Counter[int] = Counter()
    delivered: Counter[int] = Counter()
    for message in messages:
        if message.exists:
            expected[message.second] += message.row.eligible
            delivered[message.second] += message.row.received
    health: dict[int, tuple[int, int, float]] = {}
    for sample in (sample for tally in tallies for sample in tally.seconds):
        users, lag_us, cpu = health.get(sample.second, (0, 0, 0.0))
        health[sample.second] = (users + sample.users, max(lag_us, sample.lag_us_max), max(cpu, sample.cpu))
    series = []
    for second in range(seconds):
        users, lag_us, cpu = health.get(second, (0, 0, 0.0))
        latency = latencies[second]
        p50, p90, p99 = map(rounded, latency.percentiles((50, 90, 99)))
        series.append(
            Second(
                t_s=second,
                users=users,
                sent=sent[second],
                expected=expected[second],
                delivered=delivered[second],
                p50=p50,
                p90=p90,
                p99=p99,
                max=rounded(latency.max_ms),
                loop_lag_ms_max=lag_us / US_PER_MS,
                cpu=round(cpu, 3),
            )
        )
    return series


def groups_of(messages: Sequence[Message], names: Sequence[str]) -> list[GroupRow]:
    """One row for each group; `members` is the largest number that expected one of its messages."""
    members: Counter[int] = Counter()
    counts: Counter[int] = Counter()
    complete = [Histogram() for _ in names]
    for message in messages:
        group = message.due.group
        members[group] = max(members[group], message.row.eligible)
        counts[group] += message.exists and message.second >= 0
        _record_completion(complete[group], message)
    return [
        GroupRow(
            group=name,
            members=members[number],
            messages=counts[number],
            complete_ms_p50=rounded(complete[number].percentile(50)),
            complete_ms_p99=rounded(complete[number].percentile(99)),
            complete_ms_max=rounded(complete[number].max_ms),
        )
        for number, name in enumerate(names)
    ]


def health_of(tallies: Sequence[Tally], floor: Floor | None) -> Health:
    """The worst values of all processes since the end of the warm-up."""
    lag = merged(tally.lag for tally in tallies)
    cpus = [part.cpu for tally in tallies for part in tally.seconds if part.second >= 0]
    return Health(
        loop_lag_ms_p99=rounded(lag.percentile(99)),
        loop_lag_ms_max=rounded(lag.max_ms) or 0.0,
        cpu_max=round(max(cpus, default=0.0), 3),
        late_sends=sum(tally.late_sends for tally in tallies),
        late_ms_max=max(tally.late_us_max for tally in tallies) / US_PER_MS,
        floor_ms=floor,
        record_ns=max(tally.record_ns for tally in tallies),
    )


def merged(parts: Iterable[Mapping[str, object]]) -> Histogram:
    """Merge many Histogram.to_dict()."""
    whole = Histogram()
    for part in parts:
        whole.merge(Histogram.from_dict(part))
    return whole


def _record_completion(histogram: Histogram, message: Message) -> None:
    complete_ns = message.complete_ns
    if complete_ns is not None and message.second >= 0:
        histogram.record((complete_ns - message.due_ns) // NS_PER_US)


def _sum(rows: Iterable[Row]) -> Row:
    columns = list(zip(*rows, strict=True))
    return Row._make([*map(sum, columns[:-1]), max(columns[-1])]) if columns else _NOTHING
