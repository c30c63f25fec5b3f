"""The exceptions of groupcast's own code.

GroupcastError
├── SettingsError            an environment variable is missing or invalid; nothing can run
├── TokenError               a token is not valid
│   ├── MisplacedTokenError  a token of our user pool, but for another client or use
│   └── RefusedNameError     a valid token, but the user's name may look like another user's
├── KeysUnavailableError     the user pool's keys are unavailable, so no token can be verified
└── ChatError                a client's request is refused; becomes an error frame
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
    """An environment variable is missing or invalid."""


class TokenError(GroupcastError):
    """A token is not valid. The text is a reason for the log and contains no part of the token."""


class MisplacedTokenError(TokenError):
    """Our user pool issued this token, but for another client or another use."""


class RefusedNameError(TokenError):
    """The token is valid, but its user's name may look like another user's."""


class KeysUnavailableError(GroupcastError):
    """The user pool's keys are unavailable, so no token can be verified."""


class ChatError(GroupcastError):
    """A client's request is refused; `message` tells the client how to correct it.

    `retry_after_ms` is the time until the same request can succeed, if that is known.
    """

    def __init__(self, code: Code, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms
