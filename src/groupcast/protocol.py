"""Parses clients' frames and builds the replies. README.md ("The wire") describes them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from groupcast.errors import ChatError, Code
from groupcast.model import iso_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from groupcast.model import Message, Progress

MAX_GROUP_ID_CHARS = 128
# A connection's groups at a time.
MAX_GROUPS = 50
MAX_FRAME_ID_CHARS = 64
# No action of ours is longer, and repeating a longer one might not fit a reply.
MAX_ACTION_CHARS = 64
# JSON escapes a control character as six bytes: even a message of these alone fits a 128 KB frame.
MAX_MESSAGE_BYTES = 16 * 1024
MAX_HISTORY = 200
MAX_SEQ = 2**53 - 1
MAX_FRAME_BYTES = 128 * 1024
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class JoinEntry:
    """One group of a joinGroup frame; without `since` (None) nothing is replayed."""

    group_id: str
    since: int | None


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """A group of a joinGroup frame that the connection may not join; None for one without a usable name."""

    group_id: str | None
    error: ChatError


@dataclass(frozen=True, slots=True)
class Join:
    """joinGroup. Without `add` the connection leaves its other groups.

    A frame with `groups` (`many`) always adds; a malformed one among them does not spoil the others.
    """

    entries: tuple[JoinEntry | RefusedEntry, ...]
    add: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """sendMessage; `message_id` is a UUID in canonical form, or None if the client sent no id.

    `group_id` None means the group joined last, here and in other frames.
    """

    text: str
    message_id: str | None
    group_id: str | None


@dataclass(frozen=True, slots=True)
class History:
    """history: the first messages after `since`, the last before `before`, or without either the latest."""

    group_id: str | None
    since: int | None
    before: int | None
    limit: int


@dataclass(frozen=True, slots=True)
class MarkRead:
    """markRead: the user has read the messages up to `seq`."""

    group_id: str | None
    seq: int


def parse_frame(body: str) -> dict[str, Any]:
    """A frame's JSON object. ChatError (BadRequest) for anything else."""
    try:
        frame = orjson.loads(body)
    # orjson raises another error for a lone surrogate, which cannot be encoded.
    except (ValueError, TypeError):
        raise ChatError(Code.BAD_REQUEST, "The frame is not valid JSON.") from None
    if not isinstance(frame, dict):
        raise ChatError(Code.BAD_REQUEST, "The frame must be one JSON object.")
    return frame


def frame_id(frame: dict[str, Any]) -> str | None:
    """The `id` that the reply repeats. ChatError (BadRequest) if it is not a short string."""
    value = frame.get("id")
    if value is not None and (not isinstance(value, str) or len(value) > MAX_FRAME_ID_CHARS):
        raise ChatError(Code.BAD_REQUEST, f"id must be a string of at most {MAX_FRAME_ID_CHARS} characters.")
    return value


def parse_join(frame: dict[str, Any]) -> Join:
    """Parse a joinGroup frame. ChatError (BadRequest) if a field is missing or invalid."""
    if "groups" not in frame:
        add = frame.get("add", False)
        if not isinstance(add, bool):
            raise ChatError(Code.BAD_REQUEST, "add must be true or false.")
        return Join((_join_entry(frame),), add)
    groups = frame["groups"]
    if "groupId" in frame:
        raise ChatError(Code.BAD_REQUEST, "joinGroup takes groupId or groups, not both.")
    if not isinstance(groups, list) or not 1 <= len(groups) <= MAX_GROUPS:
        raise ChatError(Code.BAD_REQUEST, f"groups must be a list of 1 to {MAX_GROUPS} objects.")
    return Join(tuple(map(_entry_of_many, groups)), add=True, many=True)


def parse_leave(frame: dict[str, Any]) -> str | None:
    """Parse a leaveGroup frame: the group it names, if any. ChatError (BadRequest) if that is invalid."""
    return _named_group(frame)


def parse_send(frame: dict[str, Any]) -> Send:
    """Parse a sendMessage frame. ChatError: BadRequest, or TooLarge above MAX_MESSAGE_BYTES."""
    text = frame.get("message")
    if not isinstance(text, str) or not text.strip():
        raise ChatError(Code.BAD_REQUEST, "sendMessage needs message, a string that is not blank.")
    if len(text.encode()) > MAX_MESSAGE_BYTES:
        raise ChatError(Code.TOO_LARGE, f"message must be at most {MAX_MESSAGE_BYTES} bytes of UTF-8.")
    group_id = _named_group(frame)
    message_id = frame.get("messageId")
    if message_id is None:
        return Send(text, None, group_id)
    # Only the canonical form: clients compare ids as strings.
    if not isinstance(message_id, str) or not _UUID.fullmatch(message_id):
        raise ChatError(
            Code.BAD_REQUEST,
            "messageId must be a UUID in lower case, like 0192f0c1-2345-7abc-8def-0123456789ab.",
        )
    return Send(text, message_id, group_id)


def parse_history(frame: dict[str, Any]) -> History:
    """Parse a history frame. ChatError (BadRequest) if a field is invalid."""
    since, before = _seq(frame, "since"), _seq(frame, "before")
    if since is not None and before is not None:
        raise ChatError(Code.BAD_REQUEST, "history takes since or before, not both.")
    limit = frame.get("limit", MAX_HISTORY)
    if not _is_int(limit) or not 1 <= limit <= MAX_HISTORY:
        raise ChatError(Code.BAD_REQUEST, f"limit must be a whole number from 1 to {MAX_HISTORY}.")
    return History(_named_group(frame), since, before, limit)


def parse_mark_read(frame: dict[str, Any]) -> MarkRead:
    """Parse a markRead frame. ChatError (BadRequest) if a field is missing or invalid."""
    seq = _seq(frame, "seq")
    if seq is None:
        raise ChatError(Code.BAD_REQUEST, "markRead needs seq, the last message that was read.")
    return MarkRead(_named_group(frame), seq)


def parse_renew(frame: dict[str, Any]) -> str:
    """The token of a renew frame. ChatError (BadRequest) if it is missing."""
    token = frame.get("token")
    if not isinstance(token, str) or not token:
        raise ChatError(Code.BAD_REQUEST, "renew needs token, the new JWT.")
    return token


def message_value(message: Message) -> dict[str, Any]:
    """A message as an entry of a frame's `messages`; a void one has only its number."""
    if message.void:
        return {"seq": message.seq, "void": True}
    value = {
        "messageId": message.message_id,
        "seq": message.seq,
        "sender": message.sender,
        "message": message.text,
        "createdAt": message.created_at,
    }
    return value if message.user_id is None else {**value, "userId": message.user_id}


def group_joined(
    group_id: str, progress: Progress, messages: Iterable[Message], *, complete: bool
) -> dict[str, Any]:
    """The result of joining one group; a guest's is without `readSeq`."""
    result = {
        "groupId": group_id,
        "lastSeq": progress.head.last_seq,
        "messages": [message_value(message) for message in messages],
        "complete": complete,
    }
    return result if progress.read_seq is None else {**result, "readSeq": progress.read_seq}


def joined_many(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """`joined` for a frame with `groups`: a result for each, from `group_joined` or `group_refused`."""
    return {"type": "joined", "groups": list(results)}


def group_refused(entry: RefusedEntry) -> dict[str, Any]:
    """The result of a group that the connection may not join."""
    error = entry.error
    return {"groupId": entry.group_id, "error": {"code": error.code.value, "message": error.message}}


def left(group_id: str | None) -> dict[str, Any]:
    return {"type": "left", "groupId": group_id}


def ack(message: Message) -> dict[str, Any]:
    return {
        "type": "ack",
        "messageId": message.message_id,
        "groupId": message.group_id,
        "seq": message.seq,
        "createdAt": message.created_at,
    }


def marked(group_id: str, read_seq: int) -> dict[str, Any]:
    return {"type": "marked", "groupId": group_id, "readSeq": read_seq}


def history(group_id: str, messages: Iterable[Message], *, complete: bool) -> dict[str, Any]:
    return {
        "type": "history",
        "groupId": group_id,
        "messages": [message_value(message) for message in messages],
        "complete": complete,
    }


def pong(connection_id: str, groups: Mapping[str, Progress]) -> dict[str, Any]:
    """`groups` are the connection's, the last joined last; a guest's pong is without `readSeq`."""
    last_seqs = {group_id: progress.head.last_seq for group_id, progress in groups.items()}
    read_seqs = {group_id: one.read_seq for group_id, one in groups.items() if one.read_seq is not None}
    group_id = next(reversed(last_seqs), None)
    frame = {
        "type": "pong",
        "groupId": group_id,
        "lastSeq": last_seqs[group_id] if group_id is not None else None,
        "groups": last_seqs,
        "connectionId": connection_id,
    }
    return {**frame, "readSeqs": read_seqs} if read_seqs else frame


def renewed(group_ids: Sequence[str], authorized_until_s: int) -> dict[str, Any]:
    """`group_ids` are the groups that the connection is still in, the last joined last."""
    return {
        "type": "renewed",
        "groupId": group_ids[-1] if group_ids else None,
        "groups": list(group_ids),
        "expiresAt": iso_ms(authorized_until_s * 1000),
    }


def error(problem: ChatError, action: object, request_id: str) -> dict[str, Any]:
    frame = {
        "type": "error",
        "code": problem.code.value,
        "message": problem.message,
        "action": action if isinstance(action, str) and len(action) <= MAX_ACTION_CHARS else None,
        "requestId": request_id,
    }
    return frame if problem.retry_after_ms is None else {**frame, "retryAfterMs": problem.retry_after_ms}


def with_id(reply: dict[str, Any], reply_id: str | None) -> dict[str, Any]:
    """The reply with the request's `id`, if it had one."""
    return reply if reply_id is None else {**reply, "id": reply_id}


def encode(frame: dict[str, Any]) -> str:
    """A frame as JSON text."""
    return orjson.dumps(frame).decode()


def _entry_of_many(value: object) -> JoinEntry | RefusedEntry:
    if not isinstance(value, dict):
        error = ChatError(Code.BAD_REQUEST, "Each of groups must be an object with groupId.")
        return RefusedEntry(None, error)
    try:
        return _join_entry(value)
    except ChatError as error:
        name = value.get("groupId")
        usable = isinstance(name, str) and len(name) <= MAX_GROUP_ID_CHARS
        return RefusedEntry(name if usable else None, error)


def _join_entry(fields: dict[str, Any]) -> JoinEntry:
    group_id = fields.get("groupId")
    if not isinstance(group_id, str) or not 1 <= len(group_id) <= MAX_GROUP_ID_CHARS:
        raise ChatError(
            Code.BAD_REQUEST, f"joinGroup needs groupId, a string of 1 to {MAX_GROUP_ID_CHARS} characters."
        )
    if _has_control_characters(group_id):
        raise ChatError(Code.BAD_REQUEST, "groupId must not contain control characters.")
    return JoinEntry(group_id, _seq(fields, "since"))


def _named_group(frame: dict[str, Any]) -> str | None:
    """The group that the frame names, if any."""
    group_id = frame.get("groupId")
    if group_id is None or (isinstance(group_id, str) and 1 <= len(group_id) <= MAX_GROUP_ID_CHARS):
        return group_id
    raise ChatError(Code.BAD_REQUEST, f"groupId must be a string of 1 to {MAX_GROUP_ID_CHARS} characters.")


def _seq(frame: dict[str, Any], name: str) -> int | None:
    value = frame.get(name)
    if value is not None and (not _is_int(value) or not 0 <= value <= MAX_SEQ):
        raise ChatError(Code.BAD_REQUEST, f"{name} must be a whole number, 0 or more.")
    return value


def _is_int(value: object) -> bool:
    # True is an int in Python but not a number in JSON.
    return isinstance(value, int) and not isinstance(value, bool)


def _has_control_characters(text: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in text)
