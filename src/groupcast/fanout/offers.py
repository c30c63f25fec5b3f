"""Offers, the messages of DeliveryQueue: each has messages of a group for one of its lanes. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from groupcast.fanout.batch import readable
from groupcast.fanout.queue import Outgoing
from groupcast.model import Message, void_message
from groupcast.protocol import MAX_GROUP_ID_CHARS, message_value
from groupcast.slots import SLOTS, SlotRange, lane_id, lane_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from groupcast.model import Audience

# A batch of a FIFO queue holds ten offers, so that one invocation delivers up to 1,000 messages.
OFFER_MESSAGES_MAX = 100
# A batch of ten stays within the 6 MB that an invocation may carry; SQS meters by 64 KB.
OFFER_BYTES_MAX = 200 * 1024
# The longest message, escaped, is half of that; a longer body was not written by us.
BODY_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class Offer:
    """Messages of a group, to be delivered to the members in `slots`.

    `members` is how many the group had at its last pass, 0 where that is not known.
    """

    group_id: str
    slots: SlotRange
    messages: tuple[Message, ...]
    members: int = 0


def outgoing(messages: Sequence[Message], audience: Audience) -> list[Outgoing]:
    """Messages of one group, at least one, as offers to each of its lanes, the earlier messages first.

    The same messages make the same deduplication ids, from any offerer (SQS: "Using the message
    deduplication ID in Amazon SQS", at most 128 characters, remembered for 5 minutes).
    """
    group_id = messages[0].group_id
    found: list[Outgoing] = []
    for chunk, parts in _chunks(messages):
        for lane, slots in enumerate(lane_ranges(audience.lanes)):
            found.append(
                Outgoing(
                    _body(group_id, slots, parts, audience.members),
                    group_id=lane_id(group_id, lane),
                    deduplication_id=_deduplication_id(chunk, slots),
                )
            )
    return found


def from_body(body: str) -> Offer:
    """The offer of a queue message's body. ValueError names the fault."""
    if len(body) > BODY_BYTES_MAX:
        raise ValueError(f"{len(body):,} bytes; an offer has at most {BODY_BYTES_MAX:,}")
    match orjson.loads(body):
        case {
            "groupId": str(group_id),
            "slots": [first, last],
            "messages": [*values],
            **more,
        } if 1 <= len(group_id) <= MAX_GROUP_ID_CHARS and type(first) is type(last) is int:
            if not 0 <= first <= last < SLOTS:
                raise ValueError(f"slots {first} to {last}; they go from 0 to {SLOTS - 1}")
            if not 1 <= len(values) <= OFFER_MESSAGES_MAX:
                raise ValueError(f"{len(values)} messages; an offer has 1 to {OFFER_MESSAGES_MAX}")
            members = more.get("members", 0)
            if type(members) is not int or members < 0:
                raise ValueError("members is not a whole number")
            messages = tuple(_message(group_id, value) for value in values)
            return Offer(group_id, SlotRange(first, last), messages, members)
    raise ValueError("not an offer")


def _chunks(messages: Sequence[Message]) -> Iterator[tuple[list[Message], list[str]]]:
    """Messages that travel in one offer, and the JSON of each."""
    chunk: list[Message] = []
    parts: list[str] = []
    size = 0
    for message in messages:
        # ASCII, since SQS does not take every character that a message may have.
        part = json.dumps(_value(message), separators=(",", ":"))
        if chunk and (len(chunk) == OFFER_MESSAGES_MAX or size + len(part) > OFFER_BYTES_MAX):
            yield chunk, parts
            chunk, parts, size = [], [], 0
        chunk.append(message)
        parts.append(part)
        size += len(part) + 1
    yield chunk, parts


def _body(group_id: str, slots: SlotRange, parts: Sequence[str], members: int) -> str:
    head = f'{{"groupId":{json.dumps(group_id)},"slots":[{slots.first},{slots.last}],"members":{members}'
    return f'{head},"messages":[{",".join(parts)}]}}'


def _deduplication_id(chunk: Sequence[Message], slots: SlotRange) -> str:
    # Hashed, since a user's id in a key has any length and any characters.
    keys = "\n".join(message.key for message in chunk)
    return f"{blake2b(keys.encode(), digest_size=16).hexdigest()}.{slots.first}-{slots.last}"


def _value(message: Message) -> dict[str, Any]:
    """A message as in a frame; a void number also has the id and date that retries and metrics need."""
    value = message_value(message)
    return value | {"messageId": message.message_id, "createdAt": message.created_at}


def _message(group_id: str, value: object) -> Message:
    match value:
        case {"messageId": str(message_id), "seq": seq, "createdAt": str(created_at), **more} if (
            type(seq) is int and seq >= 1
        ):
            match more:
                case {"void": True}:
                    return readable(void_message(message_id, group_id, seq, created_at))
                case {"sender": str(sender), "message": str(text), **rest} if "void" not in rest:
                    user_id = rest.get("userId")
                    if user_id is None or isinstance(user_id, str):
                        return readable(Message(message_id, group_id, seq, sender, text, created_at, user_id))
    raise ValueError("not a message")
