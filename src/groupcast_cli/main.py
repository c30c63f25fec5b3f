"""The `groupcast` command."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from groupcast_cli import cost, doctor, failures, signin, up, users
from groupcast_cli.stage import StageError
from localcloud.errors import LocalCloudError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Each adds its parser, whose `run` takes the parsed options and returns the exit code.
COMMANDS = (up, signin, users, failures, doctor, cost)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code: 0 done, 1 a part failed, 2 wrong usage, 130 interrupted at start."""
    parser = argparse.ArgumentParser(prog="groupcast", description="Serverless group chat.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    options = parser.parse_args(argv)
    try:
        return int(options.run(options))
    except (LocalCloudError, StageError) as error:
        print(f"groupcast: {error}", file=sys.stderr)
        return 1
