"""Who is behind a connection, and where that lets them in. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast.errors import TokenError
from groupcast.names import looks_private, tidied

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

MAX_NAME_CHARS = 64
GUEST_ID_CHARS = 6
# The authorizer's principal where nobody signs in.
GUEST = "guest"
SUBPROTOCOL = "groupcast.v1"
BEARER = "bearer."
# Cognito's own tokens have one to two thousand; more than this is not parsed at all.
MAX_TOKEN_CHARS = 8 * 1024


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a token says its bearer is.

    `user_id` is the token's `sub`, `groups` its `cognito:groups`; `authorized_until_s` (seconds since 1970)
    is when it stops saying so.
    """

    user_id: str
    name: str
    groups: tuple[str, ...]
    authorized_until_s: int


def may_enter(group_id: str, groups: Collection[str]) -> bool:
    """Whether someone in these groups of the user pool may read and write a chat group.

    The one place that decides it: a group called `private…`, or what a reader may take for that, needs the
    same name among them, character by character. All others are open.
    """
    return group_id in groups or not looks_private(group_id)


def offered_token(headers: Mapping[str, Sequence[str]], query: Mapping[str, Sequence[str]]) -> str:
    """The one token of a $connect request, by every header's and parameter's values.

    It stands in Sec-WebSocket-Protocol behind `bearer.`, since a browser can set no other header, or is
    `?token=`. TokenError for none or several.
    """
    offered = [name[len(BEARER) :] for name in _subprotocols(headers) if name.startswith(BEARER)]
    offered += query.get("token", ())
    if len(offered) > 1:
        raise TokenError("several tokens")
    if not offered or not offered[0]:
        raise TokenError("no token")
    return offered[0]


def chosen_subprotocol(headers: Mapping[str, Sequence[str]]) -> str | None:
    """What the handshake's answer names of the subprotocols asked for: ours, or nothing."""
    return SUBPROTOCOL if SUBPROTOCOL in _subprotocols(headers) else None


def guest_name(asked_for: str | None, connection_id: str) -> str:
    """The sender where nobody signs in: the name asked for, tidied, or `guest-` and a bit of the id.

    Look-alikes are not refused: where anybody may be called `ann`, that would protect nobody.
    """
    name = tidied(asked_for or "")[:MAX_NAME_CHARS].rstrip()
    return name or f"guest-{connection_id[:GUEST_ID_CHARS]}"


def _subprotocols(headers: Mapping[str, Sequence[str]]) -> list[str]:
    # A header's name has any case, and several of one name are one list (RFC 9110, 5.3).
    values: Iterable[str] = (
        value for name, each in headers.items() if name.lower() == "sec-websocket-protocol" for value in each
    )
    return [name.strip() for value in values for name in value.split(",")]
