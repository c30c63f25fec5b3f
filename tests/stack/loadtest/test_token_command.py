"""A token that a command prints."""

from __future__ import annotations

import sys

import pytest

from loadtest.control.options import token_of
from loadtest.errors import LoadTestError


def test_a_token_is_what_a_command_prints() -> None:
    """Its output without the line's end; no command, no token."""
    assert token_of(f"{sys.executable} -c \"print('abc.def')\"") == "abc.def"
    assert token_of(None) is None


@pytest.mark.parametrize("code", ["print()", "raise SystemExit(3)", "print('abc'); raise SystemExit(1)"])
def test_a_token_command_that_fails_is_an_error(code: str) -> None:
    """A command that prints nothing, or ends badly, ends the run before it begins."""
    with pytest.raises(LoadTestError, match="--token-command ended with"):
        token_of(f'{sys.executable} -c "{code}"')


def test_a_token_command_that_is_not_there_is_an_error() -> None:
    """So does one that can't be started."""
    with pytest.raises(LoadTestError, match="No such file"):
        token_of("/no/such/command")
