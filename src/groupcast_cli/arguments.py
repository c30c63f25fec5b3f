"""Defaults and parsers of options that several commands share."""

from __future__ import annotations

import argparse
import math
import re

from localcloud.gateway import AccountQuota
from localcloud.origins import ORIGIN

# API Gateway developer guide, "Map API stages to a custom domain name for WebSocket APIs".
BASE_PATH = re.compile(r"[A-Za-z0-9$_.+!*'()-]{1,300}")
DEFAULT_PAGE_PORT = 3000
DEFAULT_GATEWAY_PORT = 3001
MAX_PORT = 65_535
# The longest that Lambda lets a function run.
MAX_TIMEOUT_S = 900


class DefaultsFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Adds defaults to the help, except those that say nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        says_nothing = action.default is None or action.default is False or action.default == []
        return action.help if says_nothing else super()._get_help_string(action)


def port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text} is not a TCP port")
    return number


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a time in seconds")
    return number


def pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value


def timeout(text: str) -> tuple[str, int]:
    """FUNCTION=SECONDS, in whole seconds, as Lambda takes them."""
    name, value = pair(text)
    if not value.isdecimal() or not 1 <= int(value) <= MAX_TIMEOUT_S:
        raise argparse.ArgumentTypeError(f"{text}: a timeout is 1 to {MAX_TIMEOUT_S} whole seconds")
    return name, int(value)


def origin(text: str) -> str:
    """An origin as browsers send it: SCHEME://HOST[:PORT] in lower case, or `null`."""
    lowered = text.lower()
    if not ORIGIN.fullmatch(lowered):
        raise argparse.ArgumentTypeError(f"{text} is not an origin such as https://chat.example.com")
    return lowered


def base_path(text: str) -> str:
    """One segment of a path, with the characters that API Gateway accepts for a custom domain."""
    if not BASE_PATH.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text} is not a base path such as chat")
    return text


def quota(text: str) -> AccountQuota:
    """RATE[,BURST]; without BURST half of RATE, the proportion of AWS's own quotas."""
    rate, comma, burst = text.partition(",")
    try:
        rate_per_s = float(rate)
        return AccountQuota(rate_per_s, float(burst) if comma else max(1.0, rate_per_s / 2))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not RATE or RATE,BURST such as 10000,5000") from error
