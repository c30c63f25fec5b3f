"""The engine's surroundings: members, posts, and the state that lasts from one call to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from groupcast.aws.management import PostResult
    from groupcast.fanout.budget import Budget
    from groupcast.fanout.limits import Limits
    from groupcast.fanout.window import AdaptiveWindow
    from groupcast.slots import SlotRange
    from groupcast.tables.members import Page


class Post(Protocol):
    """One body, ready to be sent to many connections."""

    def send(self, connection_id: str, on_result: Callable[[str, PostResult], None]) -> None:
        """Post once. `on_result` gets the id and the result, once, and never from within `send`.

        Never raises: a post that cannot be sent has a result, too.
        """


class Poster(Protocol):
    """Posts to connections, and closes them. Never raises."""

    async def batch(self, data: bytes) -> Post:
        """Prepare a body."""

    async def delete(self, connection_id: str) -> PostResult:
        """Close a connection."""


class Activity(Protocol):
    """Tells which connections were active of late."""

    async def recent(self, connection_ids: Sequence[str]) -> set[str]:
        """Those of some connections that connected, or sent a frame, within the last seconds."""


class Members(Protocol):
    """The members of a group, page by page; each page names the expired ones apart."""

    def pages(self, group_id: str, slots: SlotRange) -> AsyncGenerator[Page, None]:
        """The members of a group in these slots."""

    def listed(self, group_id: str, connection_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Those of some connections that are still in the group."""


class Removals(Protocol):
    """Removes connections from the tables."""

    def discard(self, connection_id: str, group_id: str) -> None:
        """Remove a connection and its membership in a group at the latest by the end of `flush`."""

    async def flush(self) -> None:
        """Return when all discarded connections are removed."""


@dataclass(frozen=True, slots=True)
class World:
    """The surroundings. `window` keeps all that the engine has learnt of the account and of slow clients."""

    poster: Poster
    members: Members
    removals: Removals
    activity: Activity | None
    window: AdaptiveWindow
    budget: Budget
    limits: Limits
    random: Callable[[], float]
