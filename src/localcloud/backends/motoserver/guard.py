"""Refuses requests that no program of this machine would send to moto."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

from localcloud.visitors import REFUSED_STATUS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from localcloud.visitors import Visitors

# moto's own API resets and replays everything; nothing here uses it.
_OWN_API = "/moto-api"


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

    def _complaint(self, environ: WSGIEnvironment) -> str | None:
        if environ["PATH_INFO"].startswith(_OWN_API):
            return "moto's own API is switched off"
        return self._visitors.complaint(environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN"))
