"""Logs why a page's request was refused: browsers hide the reason from the page."""

from __future__ import annotations

import logging

from localcloud.origins import ORIGIN

log = logging.getLogger(__name__)

# Log at most this many reasons, each once: a page could provoke any number.
MAX_LOGGED = 10


class RefusalLog:
    """The logged refusals of one gateway."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def warn(self, refusal: str, origin: str | None) -> None:
        """Log a reason once, unless no browser sends such an origin."""
        if origin is not None and not ORIGIN.fullmatch(origin):
            return
        if refusal not in self._logged and len(self._logged) < MAX_LOGGED:
            self._logged.add(refusal)
            log.warning("gateway: refused a request. %s", refusal)
