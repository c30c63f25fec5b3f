"""Judgements of alarms, queues and tables. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from groupcast_cli.doctor.finding import Finding, judged, ok, to_do

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPERATIONS = "docs/operations.md"


@dataclass(frozen=True, slots=True)
class Backlog:
    """A queue's messages, the age of the oldest (None: CloudWatch does not know), and its limit.

    `hidden` are those that a reader or a delay hides.
    """

    queue: str
    visible: int
    hidden: int
    oldest_s: float | None
    limit_s: float
    look_at: str


def judge_subscribers(topic_arn: str, subscriptions: Sequence[Mapping[str, Any]]) -> Finding:
    """Judge the subscriptions of the alarms' topic, as SNS ListSubscriptionsByTopic answers."""
    # Instead of an ARN it says PendingConfirmation, or Deleted.
    confirmed = [one for one in subscriptions if one["SubscriptionArn"].startswith("arn:")]
    if confirmed:
        return ok(f"{len(confirmed)} confirmed at {topic_arn}")
    waiting = [one["Endpoint"] for one in subscriptions if one["SubscriptionArn"] == "PendingConfirmation"]
    if waiting:
        return to_do(f"alarms reach nobody: confirm the subscription in the message to {', '.join(waiting)}")
    return to_do(
        f"alarms reach nobody: `aws sns subscribe --topic-arn {topic_arn} --protocol email "
        "--notification-endpoint YOUR_ADDRESS`, then confirm it"
    )


def judge_alarms(names: Mapping[str, str], alarms: Sequence[Mapping[str, Any]]) -> Finding:
    """Judge alarms as CloudWatch DescribeAlarms answers; `names` are their logical names, by AlarmName."""
    found = {alarm["AlarmName"]: alarm for alarm in alarms}
    ringing = sorted(names[name] for name, alarm in found.items() if alarm["StateValue"] == "ALARM")
    silent = sorted(names[name] for name, alarm in found.items() if not alarm.get("ActionsEnabled", True))
    missing = sorted(logical for name, logical in names.items() if name not in found)
    faults = []
    if ringing:
        faults.append(f'{", ".join(ringing)} in ALARM: see {OPERATIONS}, "Alarms"')
    if silent:
        faults.append(f"{', '.join(silent)} silenced: `aws cloudwatch enable-alarm-actions --alarm-names …`")
    if missing:
        faults.append(
            f"{', '.join(missing)} deleted by hand: remove the stage and deploy it, or restore them"
        )
    return judged(f"{len(names)} alarms, none in ALARM", faults)


def judge_failures(messages: int, stage_options: str) -> Finding:
    """Judge the number of messages in FanoutFailures."""
    if messages:
        return to_do(
            f"FanoutFailures holds {messages:,}: `.venv/bin/groupcast failures {stage_options}` shows them "
            f'({OPERATIONS}, "Failed items")'
        )
    return ok("FanoutFailures is empty")


def judge_backlogs(backlogs: Sequence[Backlog]) -> Finding:
    """Judge how long messages wait in queues that should be worked off at once."""
    faults = []
    for one in backlogs:
        waits = f"{one.visible:,} wait in {one.queue}, {one.hidden:,} are being read"
        # The age is of some minutes ago: that of an empty queue is history.
        is_filled = one.visible + one.hidden > 0
        if is_filled and one.oldest_s is not None and one.oldest_s > one.limit_s:
            faults.append(
                f"{waits}, the oldest for {one.oldest_s:,.0f} s, over {one.limit_s:g}: {one.look_at}"
            )
        elif one.oldest_s is None and one.visible:
            faults.append(f"{waits}, for how long is unknown: run this again; if they stay, {one.look_at}")
    sizes = ", ".join(f"{one.visible:,} in {one.queue}" for one in backlogs)
    return judged(f"worked off in time: {sizes}", faults)


def judge_tables(settings: Mapping[str, str | None], what: str, remedy: str) -> Finding:
    """Judge one setting of tables, by table: ENABLED is good, None means a missing table.

    `what` names the setting; `remedy` is a command with {table} in it.
    """
    missing = [table for table, status in settings.items() if status is None]
    # TTL takes up to an hour to be enabled, and is fine then.
    off = [table for table, status in settings.items() if status not in (None, "ENABLED", "ENABLING")]
    faults = [f"{table} is missing: restore it from a backup under this name" for table in missing]
    if off:
        each = "" if len(off) == 1 else " and so for each"
        faults.append(f"{what} is off for {', '.join(off)}: `{remedy.format(table=off[0])}`{each}")
    return judged(f"{what} is on for {len(settings)} tables", faults)
