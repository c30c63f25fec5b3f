"""What the engine needs of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from groupcast.aws.management import PostResult
    from groupcast.slots import SlotRange
    from groupcast.tables.members import Page


class Post(Protocol):
    """One body, ready to be sent to many connections."""

    def send(self, connection_id: str, on_result: Callable[[str, PostResult], None]) -> None:
        """Post once; `on_result` gets the id and what became of it, once, and never from within `send`."""


class Poster(Protocol):
    """What posts to connections, and closes them."""

    async def batch(self, data: bytes) -> Post:
        """Prepare a body."""

    async def delete(self, connection_id: str) -> PostResult:
        """Close a connection."""


class Activity(Protocol):
    """Who was active of late."""

    async def recent(self, connection_ids: Sequence[str]) -> set[str]:
        """Those of some connections that connected, or sent a frame, within the last seconds."""


class Members(Protocol):
    """Who is in a group, and how one is removed."""

    def pages(self, group_id: str, slots: SlotRange) -> AsyncGenerator[Page, None]:
        """The members of a group in these slots."""

    def listed(self, group_id: str, connection_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Those of some connections that are in the group still."""

    def discard(self, connection_id: str, group_id: str) -> None:
        """Remove a connection some time before `flush` returns."""

    async def flush(self) -> None:
        """Return when all that was discarded is removed."""
