"""The commands that `make emulator` and a deployment to it print. Pure."""

from __future__ import annotations

from groupcast_cli.stage import WSCAT, Place

PORT = 4566
TOOL = ".venv/bin/python -m tests.deploy"
GROUPCAST = ".venv/bin/groupcast"


def started_text(port: int) -> str:
    """Tell how to deploy to an emulator."""
    deploy = f"{TOOL} deploy{_option(port)}"
    return f"""An AWS on this machine, at {_endpoint(port)}. In another terminal, deploy a stage
where users sign in:

  {deploy}

or one where nobody does:

  {deploy} --param auth=none

Ctrl-C stops the emulator, and the stages with it."""


def deployed_text(stage: str, port: int, gateway_url: str, *, auth: str) -> str:
    """Tell how to try a stage."""
    there = f"--stage {stage}{Place(endpoint_url=_endpoint(port)).options}"
    first = f"""Make a user, which prints the password and the line to connect with:

  {GROUPCAST} user ann {there}"""
    chats = " --user ann"
    if auth == "none":
        chats = ""
        first = f"""Connect, and be called ann:

  {WSCAT} -c '{gateway_url}?name=ann'"""
    return f"""
Stage {stage} is deployed to {_endpoint(port)}. {first}

Check the stage, look at what it could not deliver, and take it down again:

  {GROUPCAST} doctor {there}{chats}
  {GROUPCAST} failures {there}
  {TOOL} remove --stage {stage}{_option(port)}"""


def not_running_text(port: int) -> str:
    """The error if nobody listens at the emulator's port."""
    return f"nothing listens at {_endpoint(port)}: start `{_make(port)}` first"


def taken_text(port: int) -> str:
    """The error if the emulator's port is taken."""
    other = f"`{_make(port + 1)}` takes another port"
    return f"something listens at {_endpoint(port)}, an emulator perhaps: {other}"


def _endpoint(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _make(port: int) -> str:
    return "make emulator" if port == PORT else f'make emulator ARGS="--port {port}"'


def _option(port: int) -> str:
    return "" if port == PORT else f" --port {port}"
