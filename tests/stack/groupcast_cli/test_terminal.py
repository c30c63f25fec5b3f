"""Tables and steps as a terminal, a pipe and a terminal without colours get them, and Ctrl-C."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from typing import TextIO

import pytest
from rich.text import Text

from groupcast_cli.terminal import Steps, console, show, table
from tests.conftest import GROUPCAST
from tests.stack.groupcast_cli.support import TIMEOUT_S
from tests.unit.streams import in_pipe, in_terminal, screen, without_codes

LONG = (
    "the reason of a failure, which is a sentence of about a hundred characters that nobody may cut off here"
)
COMMAND = ".venv/bin/groupcast doctor --stage dev --endpoint-url http://127.0.0.1:4566 --user ann --json"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal as others have it."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


def show_all(stream: TextIO) -> None:
    on = console(stream)
    show(table("kind", "count", "reason", right=["count"], rows=[("[odd] :smile:", "1,234", LONG)]), on)
    show(Text.assemble(("ok      ", "green"), f"alarms      {LONG}"), on)
    show(COMMAND, on)


def run_steps(stream: TextIO) -> None:
    with Steps(stream, of=2, bar=True) as steps:
        steps.step("building", 10)
        steps.advance(5)
        steps.refresh()
        steps.step("sending")


@pytest.mark.parametrize("width", [60, 200])
def test_a_table_fits_the_terminal_and_keeps_its_text(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Long cells go on in the next line of their column, numbers stay whole, and text can be copied."""
    monkeypatch.setenv("COLUMNS", str(width))
    shown = in_terminal(show_all)
    assert "\x1b[1m" in shown
    *lines, text, command = without_codes(shown).splitlines()
    assert (text, command) == (f"ok      alarms      {LONG}", COMMAND)
    assert max(map(len, lines)) <= width
    assert (len(lines) == 3) == (width == 200)
    for word in ("[odd]", ":smile:", "1,234", *LONG.split()):
        assert any(word in line for line in lines), word


@pytest.mark.parametrize("setting", [None, ("NO_COLOR", "1"), ("TERM", "dumb")])
def test_plain_lines_are_whole_and_without_codes(
    monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str] | None
) -> None:
    """In a pipe, however narrow the terminal is, and in a terminal that wants no colours."""
    monkeypatch.setenv("COLUMNS", "60")
    if setting:
        monkeypatch.setenv(*setting)
    write_to = in_terminal if setting else in_pipe
    head, rule, cells, line, command = write_to(show_all).splitlines()
    assert head.split() == ["kind", "count", "reason"]
    assert set(rule) == {"─"}
    assert cells.startswith("[odd] :smile:   1,234   ")
    assert cells.endswith(LONG)
    assert line == f"ok      alarms      {LONG}"
    assert command == COMMAND
    assert write_to(run_steps) == "1 of 2: building …\n2 of 2: sending …\n"


def test_a_terminal_shows_how_much_of_a_step_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar and a share while it runs; at the end each step stays as a line with its time."""
    monkeypatch.setenv("COLUMNS", "100")
    shown = in_terminal(run_steps)
    assert re.search(r"1 of 2: building.* 50%", without_codes(shown))
    first, second = screen(shown)
    assert re.fullmatch(r"✓ 1 of 2: building .*0:00:00", first)
    assert re.fullmatch(r"✓ 2 of 2: sending .*0:00:00", second)


def test_steps_that_are_not_kept_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal erases them, and a pipe does not learn of quiet ones."""

    def run(stream: TextIO) -> None:
        with Steps(stream, kept=False, is_quiet=True) as steps:
            steps.step("waiting")

    assert in_pipe(run) == ""
    shown = in_terminal(run)
    assert "waiting" in shown
    assert screen(shown) == []


@pytest.mark.parametrize("command", ["doctor --no-chat", "failures --redrive", "user ann"])
def test_ctrl_c_is_one_line(command: str) -> None:
    """While AWS does not answer; the exit code is that of shells."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        line = [GROUPCAST, *command.split(), "--stage", "dev", "--endpoint-url", url]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            mute.settimeout(TIMEOUT_S)
            with mute.accept()[0]:
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out, err) == (130, "", "groupcast: interrupted\n")


def test_help_does_not_load_rich() -> None:
    """It would make every command slower to start."""
    code = (
        "import sys\nfrom groupcast_cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    sys.exit('rich' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S)
