"""A local AWS emulator, to try a deployment: `python -m tests.deploy emulator | deploy | remove`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import sys

from groupcast_cli.terminal import INTERRUPTED, Steps, refreshed
from localcloud.children import spawn, stop, wait_until_listening
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
        return _emulator(emulator) if options.command == "emulator" else _run(options, emulator)
    except (AssertionError, StartError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _emulator(emulator: Emulator) -> int:
    # That is how it should end.
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_emulate(emulator))
    return 0


async def _emulate(emulator: Emulator) -> None:
    """Run the emulator until Ctrl-C or SIGTERM. Raises StartError."""
    if _listens(emulator.port):
        raise StartError(taken_text(emulator.port))
    env, *command = emulator.command()
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    # A line for each request would hide the text.
    command = [env, command[0], "LOG_LEVEL=WARNING", *command[1:]]
    process = await spawn(*command, output=sys.stderr.fileno())
    try:
        with Steps(sys.stdout, is_ticking=False) as steps:
            steps.step(f"starting {emulator.what} at {emulator.endpoint}")
            async with refreshed(steps):
                await wait_until_listening(process, emulator.port, emulator.what)
        print(f"\n{started_text(emulator.port)}\n", flush=True)
        await process.wait()
    finally:
        await stop(process)
    raise StartError(f"{emulator.what} ended by itself with exit code {process.returncode}")


def _run(options: argparse.Namespace, emulator: Emulator) -> int:
    if not _listens(emulator.port):
        raise StartError(not_running_text(emulator.port))
    parameters = dict(one.split("=", 1) for one in options.param)
    command = "deploying" if options.command == "deploy" else "removing"
    with Steps(sys.stdout) as steps:
        label = f"{command} stage {options.stage}, up to a minute"
        steps.step(label)

        def say(line: str) -> None:
            if steps.is_live:
                steps.advance(0, f"{label}: {line}")
            else:
                print(f"  {line}", flush=True)

        project = Project(FOLDER / "project", emulator, say)
        if options.command == "remove":
            project.osls("remove", options.stage, **parameters)
            return 0
        stage = project.deploy(options.stage, **parameters)
    print(deployed_text(stage.name, emulator.port, stage.url, auth=parameters.get("auth", "cognito")))
    return 0


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.deploy", description=__doc__)
    parser.add_argument("command", choices=("emulator", "deploy", "remove"))
    parser.add_argument("--port", type=int, default=PORT, help="port of the emulator (default: %(default)s)")
    parser.add_argument("--stage", default="dev", help="stage to deploy or remove (default: %(default)s)")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="parameter of serverless.yml; may be repeated",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
