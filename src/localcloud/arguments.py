"""What the commands have in common: defaults, and how the text of an option is read."""

from __future__ import annotations

import argparse
import math

REGION = "us-east-1"
DEFAULT_PAGE_PORT = 3000
DEFAULT_GATEWAY_PORT = 3001
MAX_PORT = 65_535


def port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text} is no TCP port")
    return number


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no time in seconds")
    return number


def pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value
