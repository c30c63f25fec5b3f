"""Messages, the passes of workers over them, and leftovers."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from simpy.events import Event

    Process = Generator[Event, object, None]


class Message:
    """A message on its way to every member. `done_at_s` is its last receipt, None until then."""

    __slots__ = ("done_at_s", "due_s", "given_up", "missing")

    def __init__(self, due_s: float, members: int) -> None:
        self.due_s = due_s
        # Members without it.
        self.missing = members
        self.given_up = 0
        self.done_at_s: float | None = None

    def received(self, members: int, at_s: float) -> None:
        """Record that so many more members have it."""
        self.missing -= members
        assert self.missing >= self.given_up, "a member got a message twice"
        if not self.missing:
            self.done_at_s = at_s

    def give_up(self, members: int) -> None:
        """Record that so many members will not get it pushed; they ask `history`."""
        self.given_up += members


@dataclass(frozen=True, slots=True)
class Leftover:
    """Messages for so many members, in `posts` frames, after `tries` failed tries."""

    messages: tuple[Message, ...]
    members: int
    posts: int
    tries: int


class Pass:
    """Messages that one worker posts to so many members.

    `posts` is the number of posts; `open` are neither accepted nor handed off, and `ready` ones of those may
    be made now. `cut_short` means that time ran out. `tries` counts earlier failed passes, and is None in
    the first pass.
    """

    __slots__ = ("_ready", "cut_short", "members", "messages", "open", "posts", "ready", "tries")

    def __init__(
        self, messages: Sequence[Message], members: int, posts: int, *, tries: int | None = None
    ) -> None:
        self.messages = tuple(messages)
        self.members = members
        self.tries = tries
        self.cut_short = False
        self.posts = posts
        self.open = posts
        self.ready = posts
        # (posts, attempt) in order.
        self._ready: deque[tuple[int, int]] = deque([(posts, 1)])

    def take(self, posts: int) -> list[tuple[int, int]]:
        """Take ready posts, as (posts, attempt)."""
        taken: list[tuple[int, int]] = []
        self.ready -= posts
        while posts:
            count, attempt = self._ready.popleft()
            if count > posts:
                self._ready.appendleft((count - posts, attempt))
                count = posts
            taken.append((count, attempt))
            posts -= count
        return taken

    def put_back(self, posts: int, attempt: int) -> None:
        """Make refused posts ready again."""
        self._ready.append((posts, attempt))
        self.ready += posts

    def received(self, members: int, at_s: float) -> None:
        """Record that so many members have all messages."""
        for message in self.messages:
            message.received(members, at_s)

    def leave(self, at_s: float) -> int:
        """End with posts open, and return the number of members without the messages.

        A member who misses one of several frames counts as one without any.
        """
        owed = min(self.members, self.open)
        if self.members > owed:
            self.received(self.members - owed, at_s)
        return owed


def posts_of(messages: int, members: int, messages_per_frame: int) -> int:
    return members * math.ceil(messages / messages_per_frame)


def parts_of(whole: int, parts: int) -> list[int]:
    """Split `whole` into whole numbers that are as equal as possible."""
    return [whole * (part + 1) // parts - whole * part // parts for part in range(parts)]
