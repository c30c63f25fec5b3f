"""Options of commands that run a load, beside those of the scenario."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

from loadtest.errors import LoadTestError
from loadtest.plan.options import duration_s, file_values
from loadtest.results.thresholds import Threshold, parse_abort, parse_threshold

if TYPE_CHECKING:
    import argparse

DEFAULT_THRESHOLDS = ("ledger:lost==0",)
CALIBRATE_S = 5.0
_TOKEN_TIMEOUT_S = 60.0


def add_session_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --token-command and --calibrate."""
    parser.add_argument("--token-command", metavar="COMMAND", help="prints the token to connect with")
    parser.add_argument(
        "--calibrate",
        type=duration_s,
        default=CALIBRATE_S,
        metavar="TIME",
        help="on a null server before the run, for the floor; 0: not at all (default: %(default)gs)",
    )


def thresholds_of(options: argparse.Namespace) -> tuple[list[Threshold], list[Threshold]]:
    """Return (thresholds, conditions that end the run), from the options or else the scenario file.

    Raises ScenarioError.
    """
    values = file_values(vars(options).get("scenario"))
    thresholds = options.threshold or values.get("threshold") or DEFAULT_THRESHOLDS
    aborts = options.abort_on or values.get("abort_on") or ()
    return [parse_threshold(text) for text in thresholds], [parse_abort(text) for text in aborts]


def token_of(command: str | None) -> str | None:
    """Run a command that prints a token. Raises LoadTestError if it fails or prints nothing."""
    if command is None:
        return None
    try:
        argv = shlex.split(command)
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False, timeout=_TOKEN_TIMEOUT_S)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise LoadTestError(f"--token-command: {error}") from error
    token = done.stdout.strip()
    if done.returncode or not token:
        raise LoadTestError(f"--token-command ended with {done.returncode} and printed no token")
    return token
