"""Which groups a connection is in after a joinGroup frame. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast.access import require_entry
from groupcast.errors import ChatError, Code
from groupcast.protocol import MAX_GROUPS, JoinEntry, RefusedEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from groupcast.model import Member
    from groupcast.protocol import Join


@dataclass(frozen=True, slots=True)
class Plan:
    """`group_ids` are the connection's groups afterwards; `entries` those of the frame, in its order."""

    group_ids: tuple[str, ...]
    entries: tuple[JoinEntry | RefusedEntry, ...]

    @property
    def joined(self) -> list[JoinEntry]:
        return [entry for entry in self.entries if isinstance(entry, JoinEntry)]


def plan(member: Member, join: Join) -> Plan:
    """Move the connection, or add groups to it while it has room; the group named last is joined last.

    ChatError for a single group that is refused; of several each has its own result.
    """
    group_ids = member.group_ids if join.add else ()
    entries: list[JoinEntry | RefusedEntry] = []
    for entry in join.entries:
        if isinstance(entry, JoinEntry):
            try:
                _require_new(entry, entries)
                require_entry(member, entry.group_id)
                group_ids = _with(group_ids, entry.group_id)
            except ChatError as error:
                if not join.many:
                    raise
                entries.append(RefusedEntry(entry.group_id, error))
                continue
        entries.append(entry)
    return Plan(group_ids, tuple(entries))


def _require_new(entry: JoinEntry, before: Sequence[JoinEntry | RefusedEntry]) -> None:
    if any(entry.group_id == other.group_id for other in before):
        raise ChatError(Code.BAD_REQUEST, "The frame names this group twice.")


def _with(group_ids: Sequence[str], group_id: str) -> tuple[str, ...]:
    others = tuple(one for one in group_ids if one != group_id)
    if len(others) == MAX_GROUPS:
        raise ChatError(
            Code.BAD_REQUEST, f"A connection is in at most {MAX_GROUPS} groups at a time; leave one first."
        )
    return (*others, group_id)
