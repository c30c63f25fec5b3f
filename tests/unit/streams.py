"""A terminal and a pipe, and all that is written to them."""

from __future__ import annotations

import os
import pty
import re
import termios
import threading
from collections.abc import Callable
from typing import TextIO

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_terminal(write: Callable[[TextIO], None]) -> str:
    """All that a terminal gets."""
    ours, theirs = pty.openpty()
    # So that lines end as they were written.
    settings = termios.tcgetattr(theirs)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    got: list[bytes] = []

    def read() -> None:
        try:
            while part := os.read(ours, 10_000):
                got.append(part)
        except OSError:
            """Linux says so at the end."""

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(theirs, "w") as stream:
        write(stream)
    reader.join()
    os.close(ours)
    return b"".join(got).decode()


def in_pipe(write: Callable[[TextIO], None]) -> str:
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "w") as stream:
        write(stream)
    with os.fdopen(ours) as reader:
        return reader.read()


def without_codes(text: str) -> str:
    return CODES.sub("", text)


def screen(written: str) -> list[str]:
    """The lines that are left on a terminal, which knows as much as rich uses: it moves and erases lines."""
    lines, at = [""], 0
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|[\r\n])", written):
        if part == "\n":
            at += 1
            lines += [""] * (at == len(lines))
        elif part.endswith("A"):
            at -= int(part[2:-1])
        elif part == "\x1b[2K":
            lines[at] = ""
        elif part and not part.startswith(("\r", "\x1b")):
            lines[at] += part
    return [line.rstrip() for line in lines if line.strip()]
