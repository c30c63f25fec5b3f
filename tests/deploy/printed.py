"""Runs printed commands in the checkout, in an environment without an AWS account."""

from __future__ import annotations

import os
import subprocess

from tests.deploy.emulator import ROOT

STEP_TIMEOUT_S = 100


def printed_commands(text: str) -> list[str]:
    """The commands in a text, which are indented by two spaces."""
    return [line.strip() for line in text.splitlines() if line.startswith("  .venv/bin/")]


def groupcast_lines(commands: list[str]) -> list[str]:
    return [command for command in commands if command.startswith(".venv/bin/groupcast ")]


def run_printed(command: str, **variables: str) -> str:
    """Return a command's output; it must exit with 0."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=_environment(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=STEP_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def say_in_wscat(command: str, frame: str, **variables: str) -> str:
    """The first answer to a frame sent with a wscat command."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {command} -x '{frame}' -w -1"],
        cwd=ROOT,
        env=_environment(variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as wscat:
        try:
            assert wscat.stdout is not None
            return wscat.stdout.readline()
        finally:
            wscat.terminate()


def _environment(variables: dict[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**ours, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, **variables}
