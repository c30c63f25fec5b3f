"""Thresholds and tokens of a run."""

from __future__ import annotations

import argparse
import sys

import pytest

from loadtest.control.options import thresholds_of, token_of
from loadtest.errors import LoadTestError


def test_lost_deliveries_fail_a_run_unless_other_conditions_are_given() -> None:
    """By default nothing may be lost."""
    thresholds, aborts = thresholds_of(argparse.Namespace(threshold=None, abort_on=None))
    assert [threshold.expression for threshold in thresholds] == ["ledger:lost==0"]
    assert aborts == []
    thresholds, _ = thresholds_of(argparse.Namespace(threshold=["delivery_ms:p(99)<250"], abort_on=None))
    assert [threshold.expression for threshold in thresholds] == ["delivery_ms:p(99)<250"]


def test_a_token_is_a_commands_output() -> None:
    """Without the line's end; no command, no token."""
    assert token_of(f"{sys.executable} -c \"print('abc.def')\"") == "abc.def"
    assert token_of(None) is None


@pytest.mark.parametrize("code", ["print()", "raise SystemExit(3)", "print('abc'); raise SystemExit(1)"])
def test_a_token_command_that_fails_is_an_error(code: str) -> None:
    """A command that prints nothing or fails ends the run before it begins."""
    with pytest.raises(LoadTestError, match="--token-command ended with"):
        token_of(f'{sys.executable} -c "{code}"')


def test_a_missing_token_command_is_an_error() -> None:
    with pytest.raises(LoadTestError, match="No such file"):
        token_of("/no/such/command")
