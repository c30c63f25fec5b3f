"""Tells a developer whose page was refused: browsers hide the reason from it."""

from __future__ import annotations

import logging

from localcloud.visitors import ORIGIN

log = logging.getLogger(__name__)

# So many origins are named, each once: a page could invent any number of them.
MAX_NAMED = 10


class Strangers:
    """The origins that one gateway refused."""

    def __init__(self) -> None:
        self._named: set[str] = set()

    def note(self, origin: str | None) -> None:
        """Warn of a refused origin, unless that was done."""
        if origin is None or not ORIGIN.fullmatch(origin) or origin in self._named:
            return
        if len(self._named) < MAX_NAMED:
            self._named.add(origin)
            log.warning("gateway: refused a page of %s; allow it with --allow-origin %s", origin, origin)
