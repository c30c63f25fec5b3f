"""A connection's user, and the groups they may enter. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast.errors import TokenError
from groupcast.names import cleaned, looks_private

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

MAX_NAME_CHARS = 64
GUEST_ID_CHARS = 6
# The authorizer's principal in stages without sign-in.
GUEST = "guest"
SUBPROTOCOL = "groupcast.v1"
BEARER = "bearer."
# Cognito's tokens have 1,000 to 2,000 characters; anything longer than this is not parsed.
MAX_TOKEN_CHARS = 8 * 1024


@dataclass(frozen=True, slots=True)
class Principal:
    """The user a token identifies.

    `user_id` is the token's `sub`, `groups` its `cognito:groups`; `authorized_until_s` (seconds since 1970)
    is when it expires.
    """

    user_id: str
    name: str
    groups: tuple[str, ...]
    authorized_until_s: int


def may_enter(group_id: str, groups: Collection[str]) -> bool:
    """Whether a user in these user pool groups may read and write a chat group.

    All access is decided here: for a group called `private…`, or a name that looks like it, the user must be
    in the user pool group of exactly the same name. All other groups are open.
    """
    return group_id in groups or not looks_private(group_id)


def offered_token(headers: Mapping[str, Sequence[str]], query: Mapping[str, Sequence[str]]) -> str:
    """The token of a $connect request, given all values of each header and query parameter.

    It follows `bearer.` in Sec-WebSocket-Protocol, the only header that a browser lets a page set, or is the
    parameter `token`. TokenError if there is none or more than one.
    """
    offered = [name[len(BEARER) :] for name in _subprotocols(headers) if name.startswith(BEARER)]
    offered += query.get("token", ())
    if len(offered) > 1:
        raise TokenError("several tokens")
    if not offered or not offered[0]:
        raise TokenError("no token")
    return offered[0]


def chosen_subprotocol(headers: Mapping[str, Sequence[str]]) -> str | None:
    """The subprotocol to accept in the handshake: ours if the client offered it, or None."""
    return SUBPROTOCOL if SUBPROTOCOL in _subprotocols(headers) else None


def guest_name(requested: str | None, connection_id: str) -> str:
    """The sender in stages without sign-in: the requested name, cleaned, or `guest-` and part of the id.

    Look-alike names are allowed: as anybody may call themselves `ann`, refusing them would protect nobody.
    """
    name = cleaned(requested or "")[:MAX_NAME_CHARS].rstrip()
    return name or f"guest-{connection_id[:GUEST_ID_CHARS]}"


def _subprotocols(headers: Mapping[str, Sequence[str]]) -> list[str]:
    # Header names ignore case, and headers of the same name form one list (RFC 9110, 5.3).
    values: Iterable[str] = (
        value for name, each in headers.items() if name.lower() == "sec-websocket-protocol" for value in each
    )
    return [name.strip() for value in values for name in value.split(",")]
