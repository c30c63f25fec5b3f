"""Errors while the local cloud starts or runs.

LocalCloudError           an error that the user gets in one line, with exit code 1
├── ServiceError          serverless.yml is missing, malformed or uses a feature that localcloud lacks
├── StartError            a part did not start: port taken, Java missing, child process died
├── SignInError           no token: no user pool, unknown user, wrong password
└── FunctionError         a function raised, timed out, or its environment died
"""

from __future__ import annotations


class LocalCloudError(Exception):
    """Base of the errors that localcloud prints in one line."""


class ServiceError(LocalCloudError):
    """serverless.yml is missing, malformed or uses a feature that localcloud lacks."""


class StartError(LocalCloudError):
    """A part of the cloud did not start; the text names it and the remedy."""


class SignInError(LocalCloudError):
    """The user could not get a token; the text gives the reason and the remedy."""


class FunctionError(LocalCloudError):
    """A function did not return: it raised, ran out of time or its environment died.

    `error_type` is Lambda's `errorType`: the exception's class name, `Sandbox.Timedout`
    or `Runtime.ExitError`.
    """

    def __init__(self, function: str, error_type: str, message: str) -> None:
        super().__init__(f"{function}: {error_type}: {message}")
        self.function = function
        self.error_type = error_type
        self.message = message
