"""Reports a failure on stderr once per outage."""

from __future__ import annotations

import sys


class OutageLog:
    """Reports one operation's failures; `what` describes the failed operation."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._said = False

    def report(self, error: object) -> None:
        if not self._said:
            sys.stderr.write(f"{self._what}: {error!r}; trying again\n")
        self._said = True

    def recovered(self) -> None:
        self._said = False
