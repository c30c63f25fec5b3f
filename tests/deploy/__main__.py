"""An AWS on this machine, to look at a deployment: `python -m tests.deploy emulator | deploy | remove`."""

from __future__ import annotations

import argparse
import os

from groupcast_deploy.stage import WSCAT
from tests.deploy.emulator import ROOT, Emulator
from tests.deploy.project import Project

PORT = 4566
FOLDER = ROOT / "build" / "emulator"


def main() -> None:
    options = _parser().parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    emulator = Emulator(FOLDER)
    emulator.port = options.port
    if options.command == "emulator":
        command = emulator.command()
        # This process becomes it, so that Ctrl-C ends it.
        os.execv(command[0], command)  # noqa: S606 - no shell is needed
    parameters = dict(one.split("=", 1) for one in options.param)
    project = Project(FOLDER / "project", emulator)
    if options.command == "remove":
        print(project.osls("remove", options.stage, **parameters).strip())  # noqa: T201 - a command-line tool
    else:
        stage = project.deploy(options.stage, **parameters)
        print(f"deployed; talk to it with: {WSCAT} -c '{stage.url}?name=ann'")  # noqa: T201 - the same


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.deploy", description=__doc__)
    parser.add_argument("command", choices=("emulator", "deploy", "remove"))
    parser.add_argument("--port", type=int, default=PORT, help="of the emulator")
    parser.add_argument("--stage", default="dev")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="of serverless.yml"
    )
    return parser


if __name__ == "__main__":
    main()
