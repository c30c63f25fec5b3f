"""An AWS on this machine, to look at a deployment: `python -m tests.deploy emulator | deploy | remove`."""

from __future__ import annotations

import argparse
import os
import socket
import sys

from groupcast_deploy.stage import WSCAT, Place
from localcloud.errors import StartError
from tests.deploy.emulator import ROOT, Emulator
from tests.deploy.project import Project

PORT = 4566
FOLDER = ROOT / "build" / "emulator"
TOOL = ".venv/bin/python -m tests.deploy"
GROUPCAST = ".venv/bin/groupcast"


def main() -> int:
    """The exit code: 0 done, 1 failed."""
    options = _parser().parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    emulator = Emulator(FOLDER)
    emulator.port = options.port
    try:
        if options.command == "emulator":
            _become(emulator)
        return _run(options, emulator)
    except (AssertionError, StartError) as error:
        print(error, file=sys.stderr)
        return 1


def started_text(emulator: Emulator) -> str:
    """The commands that deploy to an emulator."""
    port = _port_option(emulator)
    return f"""An AWS on this machine, at {emulator.endpoint}. In another terminal, deploy a stage
where users sign in:

  {TOOL} deploy{port}

or one where nobody does:

  {TOOL} deploy{port} --param auth=none

Ctrl-C stops the emulator, and the stages with it."""


def deployed_text(stage: str, emulator: Emulator, gateway_url: str, *, auth: str) -> str:
    """The commands to try a stage with, ready to paste."""
    there = f"--stage {stage}{Place(endpoint_url=emulator.endpoint).options}"
    first = f"""Make a user, which prints the password and the line to connect with:

  {GROUPCAST} user ann {there}"""
    if auth == "none":
        first = f"""Connect, and be called ann:

  {WSCAT} -c '{gateway_url}?name=ann'"""
    return f"""
Stage {stage} is deployed to {emulator.endpoint}. {first}

Check the stage, look at what it could not deliver, and take it down again:

  {GROUPCAST} doctor {there}
  {GROUPCAST} failures {there}
  {TOOL} remove --stage {stage}{_port_option(emulator)}"""


def _become(emulator: Emulator) -> None:
    """Replace this process with the emulator, so that Ctrl-C ends it."""
    if _listens(emulator):
        other = f"`{_make(emulator.port + 1)}` takes another port"
        raise StartError(f"something listens at {emulator.endpoint}, an emulator perhaps: {other}")
    env, *command = emulator.command()
    print(f"{started_text(emulator)}\n", flush=True)
    # Its line for each request would hide the text.
    os.execv(env, [env, command[0], "LOG_LEVEL=WARNING", *command[1:]])  # noqa: S606 - no shell is needed


def _run(options: argparse.Namespace, emulator: Emulator) -> int:
    if not _listens(emulator):
        raise StartError(f"nothing listens at {emulator.endpoint}: start `{_make(emulator.port)}` first")
    parameters = dict(one.split("=", 1) for one in options.param)
    project = Project(FOLDER / "project", emulator)
    if options.command == "remove":
        print(project.osls("remove", options.stage, **parameters).strip())
        return 0
    print(f"deploying stage {options.stage} to {emulator.endpoint} …", flush=True)
    stage = project.deploy(options.stage, **parameters)
    print(deployed_text(stage.name, emulator, stage.url, auth=parameters.get("auth", "cognito")))
    return 0


def _listens(emulator: Emulator) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", emulator.port)) == 0


def _make(port: int) -> str:
    return "make emulator" if port == PORT else f'make emulator ARGS="--port {port}"'


def _port_option(emulator: Emulator) -> str:
    return "" if emulator.port == PORT else f" --port {emulator.port}"


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
