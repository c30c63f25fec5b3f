"""A scripted service whose connections are in several groups, each with its own log."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from tests.unit.groupcast_client.scripted import Service, error

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

Frame = dict[str, Any]


@dataclass
class GroupService(Service):
    """`groups` are those of each socket, the last joined last; joining one of `closed` is Forbidden.

    A reply to joinGroup has at most `replay` messages. Users are signed in where there are `marks`.
    """

    logs: defaultdict[str, list[Frame]] = field(default_factory=lambda: defaultdict(list))
    groups: defaultdict[Any, list[str]] = field(default_factory=lambda: defaultdict(list))
    closed: set[str] = field(default_factory=set)
    marks: dict[str, int] = field(default_factory=dict)
    replay: int = 200

    def say(self, group_id: str, *texts: str, message_id: str | None = None) -> None:
        """Store messages without a push."""
        for text in texts:
            self.log = self.logs[group_id]
            self.write(text, message_id or f"{group_id}-{len(self.log) + 1}")

    async def push_to(self, group_id: str, *numbers: int) -> None:
        """Push a frame with these numbers of a group's log to its members."""
        items = [self.logs[group_id][number - 1] for number in numbers]
        frame = {"type": "messages", "groupId": group_id, "messages": items}
        for socket in self.sockets:
            if group_id in self.groups[socket]:
                await socket.send(orjson.dumps(frame).decode())

    async def reply(self, socket: ServerConnection, frame: Frame) -> Frame | None:
        """Answer as the contract has it."""
        groups = self.groups[socket]
        match frame["action"]:
            case "joinGroup":
                return self._join(groups, frame)
            case "ping":
                return self._pong(groups)
            case "renew":
                groups[:] = [one for one in groups if one not in self.closed]
                last = groups[-1] if groups else None
                return {
                    "type": "renewed",
                    "groupId": last,
                    "groups": list(groups),
                    "expiresAt": "2025-01-01T01:00:00.000Z",
                }
        group_id = frame.get("groupId", groups[-1] if groups else None)
        if group_id not in groups:
            return error("NotInGroup")
        return await self._in_group(groups, group_id, frame)

    async def _in_group(self, groups: list[str], group_id: str, frame: Frame) -> Frame:
        self.log = self.logs[group_id]
        match frame["action"]:
            case "leaveGroup":
                groups.remove(group_id)
                return {"type": "left", "groupId": group_id}
            case "sendMessage":
                item = self.write(frame["message"], frame["messageId"])
                await self.push_to(group_id, item["seq"])
                return {"type": "ack", "groupId": group_id, **item}
            case "history":
                messages, complete = self._page(frame)
                return {"type": "history", "groupId": group_id, "messages": messages, "complete": complete}
            case "markRead":
                self.marks[group_id] = max(frame["seq"], self.marks.get(group_id, 0))
                return {"type": "marked", "groupId": group_id, "readSeq": self.marks[group_id]}
        return error("UnknownAction")

    def _join(self, groups: list[str], frame: Frame) -> Frame:
        self._room = self.replay
        if "groups" in frame:
            return {"type": "joined", "groups": [self._enter(groups, entry) for entry in frame["groups"]]}
        if not frame.get("add"):
            groups.clear()
        result = self._enter(groups, frame)
        return {"type": "joined", **result} if "error" not in result else error("Forbidden")

    def _enter(self, groups: list[str], entry: Frame) -> Frame:
        group_id = entry["groupId"]
        if group_id in self.closed:
            return {"groupId": group_id, "error": {"code": "Forbidden", "message": f"{group_id} is private"}}
        if group_id not in groups:
            groups.append(group_id)
        self.log = self.logs[group_id]
        page, complete = self._page({**entry, "limit": self._room}) if "since" in entry else ([], True)
        self._room -= len(page)
        result = {"groupId": group_id, "lastSeq": len(self.log), "messages": page, "complete": complete}
        return {**result, "readSeq": self.marks[group_id]} if group_id in self.marks else result

    def _pong(self, groups: list[str]) -> Frame:
        last_seqs = {group_id: len(self.logs[group_id]) for group_id in groups}
        last = groups[-1] if groups else None
        pong = {"type": "pong", "groupId": last, "lastSeq": last_seqs.get(last or ""), "groups": last_seqs}
        return {**pong, "readSeqs": self.marks} if self.marks else pong
