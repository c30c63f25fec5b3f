"""Saying on stderr that something does not work: once, until it works again."""

from __future__ import annotations

import sys


class OutageLog:
    """One thing that may fail again and again, named by `what`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._said = False

    def say(self, error: object) -> None:
        if not self._said:
            sys.stderr.write(f"{self._what}: {error!r}; trying again\n")
        self._said = True

    def over(self) -> None:
        self._said = False
