"""Tells a developer why a page was refused: browsers hide the reason from it."""

from __future__ import annotations

import logging

from localcloud.visitors import ORIGIN

log = logging.getLogger(__name__)

# So many complaints are logged, each once: a page could provoke any number of them.
MAX_NAMED = 10


class Strangers:
    """The complaints about requests that one gateway refused."""

    def __init__(self) -> None:
        self._named: set[str] = set()

    def note(self, complaint: str, origin: str | None) -> None:
        """Warn of a complaint, unless that was done, or no browser sends such an origin."""
        if origin is not None and not ORIGIN.fullmatch(origin):
            return
        if complaint not in self._named and len(self._named) < MAX_NAMED:
            self._named.add(complaint)
            log.warning("gateway: refused a request. %s", complaint)
