"""The README's exchange, typed into npm's wscat, against `make up`."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from localcloud.backends.userpool import DEMO_USERS
from tests.conftest import ROOT, START_TIMEOUT_S, STOP_TIMEOUT_S

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]
README = (ROOT / "README.md").read_text()
ANSWER_TIMEOUT_S = 20


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, command: list[str]) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self._seen = b""

    def type(self, line: str) -> None:
        os.write(self._master, f"{line}\r".encode())

    def see(self, pattern: str) -> re.Match[str]:
        """Wait until the screen shows the pattern."""
        until = time.monotonic() + ANSWER_TIMEOUT_S
        while time.monotonic() < until:
            found = re.search(pattern, self._seen.decode(errors="replace"))
            if found:
                return found
            if select.select([self._master], [], [], 0.1)[0]:
                self._seen += os.read(self._master, 65_536)
        raise AssertionError(f"{pattern!r} did not appear in {self._seen.decode(errors='replace')!r}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@contextmanager
def terminal(command: str) -> Iterator[Terminal]:
    # The shell expands $(…), then the program replaces it.
    opened = Terminal(["bash", "-c", f"exec {command}"])
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def make_up(*arguments: str) -> Iterator[str]:
    """Run `make up` on free ports; yield its output until it is ready."""
    command = ["make", "up", "PAGE_PORT=0", "GATEWAY_PORT=0", "ARGS=--log build/test-functions.log"]
    command += arguments
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            printed = ""
            until = time.monotonic() + START_TIMEOUT_S
            while "Ctrl-C stops everything." not in printed and time.monotonic() < until:
                line = process.stdout.readline()
                assert line, printed
                printed += line
            yield printed
        finally:
            # Like a terminal: the whole foreground process group gets the signal.
            os.killpg(process.pid, signal.SIGINT)
            process.wait(STOP_TIMEOUT_S)


def two_people_chat(printed: str) -> None:
    """Run the printed lines in two terminals: both join, ann writes, and both see her message."""
    commands = re.findall(r"^  (\S*node \S+wscat .+)$", printed, re.MULTILINE)
    frames = re.findall(r"^  (\{.+\})$", printed, re.MULTILINE)
    assert len(commands) == 2
    assert frames == [
        '{"action":"joinGroup","groupId":"group1"}',
        '{"action":"sendMessage","message":"안녕하세요!"}',
    ]
    for line in frames:
        assert line in README
    with terminal(commands[0]) as ann, terminal(commands[1]) as bob:
        for one in (ann, bob):
            one.see("Connected")
            one.type(frames[0])
            one.see('"type":"joined","groupId":"group1"')
        ann.type(frames[1])
        ann.see('"type":"ack"')
        for one in (ann, bob):
            found = one.see(r'\{"type":"messages","groupId":"group1".*?\]\}')
            (message,) = json.loads(found[0])["messages"]
            assert (message["sender"], message["message"]) == ("ann", "안녕하세요!")


def test_two_people_chat_as_the_readme_says() -> None:
    """Without sign-in, as the first lines state."""
    with make_up() as printed:
        assert "No sign-in is needed" in first_lines(printed)
        two_people_chat(printed)


def test_two_people_sign_in_and_chat() -> None:
    """The first lines list the users, and the lines to paste fetch tokens; the user name is the sender."""
    with make_up("AUTH=cognito") as printed:
        for user in DEMO_USERS:
            assert re.search(rf"^  {user.name} .*{user.password}", first_lines(printed), re.MULTILINE)
        assert "No sign-in" not in printed
        assert "?name=" not in printed
        assert printed.count("groupcast token") == 2
        two_people_chat(printed)


def first_lines(printed: str) -> str:
    return printed.partition("chat page")[0]
