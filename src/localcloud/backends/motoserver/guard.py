"""Refuses requests from web pages, and calls of moto's own API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

from localcloud.origins import REFUSED_STATUS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from localcloud.origins import OriginPolicy

# moto's own API can reset its state; nothing here uses it.
_OWN_API = "/moto-api"


class Guard:
    """WSGI middleware that answers refused requests itself."""

    def __init__(self, application: WSGIApplication, origins: OriginPolicy) -> None:
        self._application = application
        self._origins = origins

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        reason = self._refusal(environ)
        if reason is None:
            return self._application(environ, start_response)
        body = json.dumps({"message": reason})
        refusal = Response(body, REFUSED_STATUS, content_type="application/json")
        return refusal(environ, start_response)

    def _refusal(self, environ: WSGIEnvironment) -> str | None:
        if environ["PATH_INFO"].startswith(_OWN_API):
            return "moto's own API is switched off"
        return self._origins.refusal(environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN"))
