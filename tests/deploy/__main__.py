"""A local AWS emulator, to try a deployment: `python -m tests.deploy emulator | deploy | remove`."""

from __future__ import annotations

import argparse
import os
import socket
import sys

from localcloud.errors import StartError
from tests.deploy.emulator import ROOT, Emulator
from tests.deploy.guide import PORT, deployed_text, not_running_text, started_text, taken_text
from tests.deploy.project import Project

FOLDER = ROOT / "build" / "emulator"


def main() -> int:
    """Return the exit code: 0 done, 1 failed."""
    options = _parser().parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    emulator = Emulator(FOLDER)
    emulator.port = options.port
    try:
        if options.command == "emulator":
            _exec(emulator)
        return _run(options, emulator)
    except (AssertionError, StartError) as error:
        print(error, file=sys.stderr)
        return 1


def _exec(emulator: Emulator) -> None:
    """Replace this process by the emulator, so that Ctrl-C ends it."""
    if _listens(emulator.port):
        raise StartError(taken_text(emulator.port))
    env, *command = emulator.command()
    print(f"{started_text(emulator.port)}\n", flush=True)
    # A line for each request would hide the text.
    os.execv(env, [env, command[0], "LOG_LEVEL=WARNING", *command[1:]])  # noqa: S606 - no shell is needed


def _run(options: argparse.Namespace, emulator: Emulator) -> int:
    if not _listens(emulator.port):
        raise StartError(not_running_text(emulator.port))
    parameters = dict(one.split("=", 1) for one in options.param)
    project = Project(FOLDER / "project", emulator)
    if options.command == "remove":
        print(project.osls("remove", options.stage, **parameters).strip())
        return 0
    print(f"deploying stage {options.stage} to {emulator.endpoint} …", flush=True)
    stage = project.deploy(options.stage, **parameters)
    print(deployed_text(stage.name, emulator.port, stage.url, auth=parameters.get("auth", "cognito")))
    return 0


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


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
    sys.exit(main())
