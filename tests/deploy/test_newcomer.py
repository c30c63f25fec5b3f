"""The README's commands to deploy, look around and clean up, without an AWS account."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile

import pytest

from groupcast_cli.stage import WSCAT
from localcloud.children import free_port
from tests.deploy.emulator import ROOT
from tests.deploy.printed import groupcast_lines, printed_commands, run_printed, say_in_wscat

TOOL = [sys.executable, "-m", "tests.deploy"]


@contextmanager
def running_emulator(port: int) -> Iterator[list[str]]:
    """Run `make emulator`; yield the commands that it prints."""
    with subprocess.Popen(
        [*TOOL, "emulator", "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = "".join(takewhile(lambda line: not line.startswith("Ctrl-C"), process.stdout))
            with socket.create_connection(("127.0.0.1", port)):
                """It listens by the time it says so."""
            yield printed_commands(said)
        finally:
            process.terminate()


@pytest.mark.timeout(180)
def test_deploy_look_and_remove() -> None:
    """Each command is printed by the command before it."""
    with running_emulator(free_port()) as (_, deploy_open):
        wscat, *others, remove = printed_commands(run_printed(deploy_open))
        assert wscat.startswith(WSCAT)
        assert '"type":"joined"' in say_in_wscat(wscat, '{"action":"joinGroup","groupId":"group1"}')
        doctor, failures = groupcast_lines(others)
        assert "groupcast doctor --stage dev --endpoint-url http://127.0.0.1:" in doctor
        assert "Nothing to be read in groupcast-dev-fanout-failures" in run_printed(failures)
        assert "successfully removed" in run_printed(remove)


@pytest.mark.parametrize("command", ["deploy", "remove"])
def test_an_error_tells_how_to_start_the_emulator(command: str) -> None:
    port = free_port()
    assert complaint(command, port) == (
        f'nothing listens at http://127.0.0.1:{port}: start `make emulator ARGS="--port {port}"` first\n'
    )


def test_an_error_tells_how_to_choose_another_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = complaint("emulator", port)
    assert said.startswith(f"something listens at http://127.0.0.1:{port}, an emulator perhaps: ")
    assert f'`make emulator ARGS="--port {port + 1}"`' in said


def complaint(command: str, port: int) -> str:
    done = subprocess.run(
        [*TOOL, command, "--port", str(port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr
