"""Refuses requests that no program of this machine would send to moto."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from localcloud.visitors import REFUSED_STATUS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from localcloud.visitors import Visitors

# moto's own API resets and replays everything; nothing here uses it.
_OWN_API = "/moto-api"
# Images, forms and links of other sites send no Origin with GET, and SQS also takes its actions in a query.
_OTHER_SITES = frozenset({"cross-site", "same-site"})


class Guard:
    """A WSGI application before another: it answers refused requests itself."""

    def __init__(self, application: WSGIApplication, visitors: Visitors) -> None:
        self._application = application
        self._visitors = visitors

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        complaint = self._complaint(environ)
        if complaint is None:
            return self._application(environ, start_response)
        body = json.dumps({"message": complaint})
        refusal = Response(body, REFUSED_STATUS, content_type="application/json")
        return refusal(environ, start_response)

    def _complaint(self, environ: dict[str, Any]) -> str | None:
        origin = environ.get("HTTP_ORIGIN")
        complaint = self._visitors.complaint(environ.get("HTTP_HOST"), origin)
        if complaint is None and environ["PATH_INFO"].startswith(_OWN_API):
            return "moto's own API is switched off"
        if complaint is None and origin is None and environ.get("HTTP_SEC_FETCH_SITE") in _OTHER_SITES:
            return "Browsers may send requests only from pages"
        return complaint
