"""The `groupcast` command."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from groupcast_cli.terminal import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code: 0 done, 1 a part failed, 2 wrong usage, 130 interrupted by Ctrl-C."""
    try:
        return _run(argv)
    except KeyboardInterrupt as interrupt:
        print(f"groupcast: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    # They take half a second to import, in which Ctrl-C may come.
    from groupcast_cli import cost, doctor, failures, signin, up, users  # noqa: PLC0415
    from groupcast_cli.stage import StageError  # noqa: PLC0415
    from localcloud.errors import LocalCloudError  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="groupcast", description="Serverless group chat.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    # Each adds its parser, whose `run` takes the parsed options and returns the exit code.
    for command in (up, signin, users, failures, doctor, cost):
        command.add_parser(commands)
    options = parser.parse_args(argv)
    try:
        return int(options.run(options))
    except (LocalCloudError, StageError) as error:
        print(f"groupcast: {error}", file=sys.stderr)
        return 1
