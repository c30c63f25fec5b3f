"""What can go wrong while the cloud on this machine starts or runs.

LocalCloudError           anything said to the user in one line, exit code 1
├── ServiceError          serverless.yml is missing, misspelt or asks for what localcloud cannot do
├── StartError            a part did not start: port taken, Java missing, a child that died
├── SignInError           no token: nothing to sign in to, an unknown user, a wrong password
└── FunctionError         a function raised, timed out, or its environment died
"""

from __future__ import annotations


class LocalCloudError(Exception):
    """Base of what localcloud tells its user in one line."""


class ServiceError(LocalCloudError):
    """serverless.yml is missing, misspelt or asks for what localcloud cannot do."""


class StartError(LocalCloudError):
    """A part of the cloud did not start; the text says which, and what to do."""


class SignInError(LocalCloudError):
    """There is no token for this user; the text says why, and what to do."""


class FunctionError(LocalCloudError):
    """A function did not return: it raised, ran out of time or its environment died.

    `error_type` is what Lambda puts into `errorType`: the exception's class name, `Sandbox.Timedout`
    or `Runtime.ExitError`.
    """

    def __init__(self, function: str, error_type: str, message: str) -> None:
        super().__init__(f"{function}: {error_type}: {message}")
        self.function = function
        self.error_type = error_type
        self.message = message
