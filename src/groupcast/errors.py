"""What groupcast's own code raises.

GroupcastError
├── SettingsError    an environment variable is missing or wrong; nothing can run
└── ChatError        a client asked for what can't be done; becomes its error frame
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


class ChatError(GroupcastError):
    """A client asked for what can't be done; `message` tells it what to do instead."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
