"""Messages, a worker's part of them, and what is left over."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Message:
    """A message on its way to every member. `done_at_s` is when the last one had it; None: not yet."""

    __slots__ = ("done_at_s", "due_s", "given_up", "missing")

    def __init__(self, due_s: float, members: int) -> None:
        self.due_s = due_s
        # Members who are still to get it.
        self.missing = members
        self.given_up = 0
        self.done_at_s: float | None = None

    def received(self, members: int, at_s: float) -> None:
        """So many more members have it."""
        self.missing -= members
        assert self.missing >= 0, "a member got a message twice"
        if not self.missing:
            self.done_at_s = at_s

    def give_up(self, members: int) -> None:
        """So many members will not get it pushed: they ask `history`."""
        self.given_up += members


@dataclass(frozen=True, slots=True)
class Leftover:
    """Messages that so many members are still to get, in frames of which `posts` are open in all."""

    messages: tuple[Message, ...]
    members: int
    posts: int
    tries: int = 0


class Pass:
    """Messages that one worker posts to so many members. `lane` is where they came from."""

    __slots__ = ("offers", "lane", "members", "messages", "open", "ready", "ready_posts", "tries")

    def __init__(
        self, messages: Sequence[Message], members: int, posts: int, *, lane: int = 0, tries: int = 0
    ) -> None:
        self.messages = tuple(messages)
        self.members = members
        self.lane = lane
        self.tries = tries
        # Posts that are neither accepted nor handed off; `ready` has those that may be made: (posts, attempt).
        self.open = posts
        self.ready: deque[tuple[int, int]] = deque([(posts, 1)])
        self.ready_posts = posts

    def take(self, posts: int) -> list[tuple[int, int]]:
        """Take that many ready posts: (posts, attempt) of each kind."""
        taken: list[tuple[int, int]] = []
        self.ready_posts -= posts
        while posts:
            count, attempt = self.ready.popleft()
            if count > posts:
                self.ready.appendleft((count - posts, attempt))
                count = posts
            taken.append((count, attempt))
            posts -= count
        return taken

    def put_back(self, posts: int, attempt: int) -> None:
        self.ready.append((posts, attempt))
        self.ready_posts += posts

    def received(self, members: int, at_s: float) -> None:
        for message in self.messages:
            message.received(members, at_s)

    def leave(self, at_s: float) -> Leftover:
        """End before all is posted: those who miss a frame miss all messages of the pass."""
        owed = min(self.members, self.open)
        if self.members > owed:
            self.received(self.members - owed, at_s)
        return Leftover(self.messages, owed, self.open, self.tries)


def posts_of(messages: int, members: int, messages_per_frame: int) -> int:
    return members * math.ceil(messages / messages_per_frame)
