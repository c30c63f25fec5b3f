"""The commands with which a reader of the README deploys, looks and cleans up, without an AWS account."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from localcloud.children import free_port
from tests.deploy.emulator import ROOT
from tests.deploy.project import BIN

TOOL = [sys.executable, "-m", "tests.deploy"]
WSCAT = str(ROOT / "node_modules" / ".bin" / "wscat")
START_TIMEOUT_S = 30
STEP_TIMEOUT_S = 100


@contextmanager
def running(*command: str, output: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[str]]:
    """A program, ended at the end."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def wait_until_it_listens(process: subprocess.Popen[str], port: int) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while True:
        assert process.poll() is None, "the emulator ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < until, "the emulator did not start"
        time.sleep(0.05)


def said(*command: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=STEP_TIMEOUT_S, check=True
    )
    return done.stdout


@pytest.mark.timeout(180)
def test_deploy_look_and_remove() -> None:
    """Three commands and wscat: what is deployed answers, and can be removed."""
    port = free_port()
    there = ("--port", str(port), "--param", "auth=none")
    with running(*TOOL, "emulator", "--port", str(port)) as emulator:
        wait_until_it_listens(emulator, port)
        found = re.search(r"wscat -c '(\S+)'", said(*TOOL, "deploy", *there))
        assert found is not None
        joining = '{"action":"joinGroup","groupId":"group1"}'
        with running(WSCAT, "-c", found[1], "-x", joining, "-w", "-1", output=subprocess.PIPE) as wscat:
            assert wscat.stdout is not None
            assert '"type":"joined"' in wscat.stdout.readline()
        assert "successfully removed" in said(*TOOL, "remove", *there)
