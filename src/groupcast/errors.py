"""What groupcast's own code raises.

GroupcastError
├── SettingsError            an environment variable is missing or wrong; nothing can run
├── TokenError               nobody is known by this token
│   ├── MisplacedTokenError  a token of the pool, but for another client or use
│   └── RefusedNameError     a token of the pool, but of a user whose name may look like another's
├── KeysUnavailableError     the user pool's keys cannot be had: no token can be verified
└── ChatError                a client asked for what can't be done; becomes its error frame
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """The `code` of an error frame."""

    BAD_REQUEST = "BadRequest"
    UNKNOWN_ACTION = "UnknownAction"
    NOT_IN_GROUP = "NotInGroup"
    FORBIDDEN = "Forbidden"
    TOO_LARGE = "TooLarge"
    RATE_LIMITED = "RateLimited"
    CONFLICT = "Conflict"
    INTERNAL_ERROR = "InternalError"


class GroupcastError(Exception):
    """Base of groupcast's own exceptions."""


class SettingsError(GroupcastError):
    """An environment variable is missing or wrong."""


class TokenError(GroupcastError):
    """Nobody is known by this token. The text is a reason for the log and holds nothing of the token."""


class MisplacedTokenError(TokenError):
    """The user pool made this token, but for another client or another use."""


class RefusedNameError(TokenError):
    """The user pool knows this user, whose name may look like another's."""


class KeysUnavailableError(GroupcastError):
    """The user pool's keys cannot be had, so that no token can be verified."""


class ChatError(GroupcastError):
    """A client asked for what can't be done; `message` tells it what to do instead.

    `retry_after_ms` is when the same may be done, where that is known.
    """

    def __init__(self, code: Code, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms
