"""Serves the chat page: static files and its configuration."""

from __future__ import annotations

import asyncio
import os
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING

from aiohttp import web

from localcloud.errors import StartError
from localcloud.origins import OriginPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

    from localcloud.backends.userpool import OpenUserPool

# The page imports the client as `../client/…`, which is `/client/…` of this server.
FOLDERS = {"": "page", "client/": "client"}
# Fixed here, so that the machine's MIME tables don't matter.
CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
# Browsers keep connections open; closing does not wait for them.
SHUTDOWN_TIMEOUT_S = 1.0
# Nothing inline and nothing from other origins, except a socket to any gateway.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss:{sign_in}; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Show a changed page at the next reload.
    "Cache-Control": "no-cache",
}


class PageServer:
    """Serves the page, and `/config.json` with the gateway and the user pool (None: no sign-in).

    The page calls the user pool itself: moto answers CORS preflights of allowed origins.
    """

    def __init__(
        self, gateway_url: str, user_pool: OpenUserPool | None = None, origins: OriginPolicy | None = None
    ) -> None:
        self.port = 0
        self._origins = origins or OriginPolicy()
        self._config = {"gatewayUrl": gateway_url, "auth": "none"}
        sign_in = ""
        if user_pool is not None:
            cognito = {"cognitoUrl": user_pool.endpoint, "clientId": user_pool.client_id}
            self._config |= {"auth": "cognito", **cognito}
            sign_in = f" {user_pool.endpoint}"
        policy = CONTENT_SECURITY_POLICY.format(sign_in=sign_in)
        self._headers = {"Content-Security-Policy": policy, **SECURITY_HEADERS}
        self._files: Mapping[str, tuple[bytes, str]] = {}
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen; `port` 0 takes a free one (see `self.port`). Raises StartError if the port is taken."""
        self._files = await asyncio.to_thread(_read_files)
        app = web.Application(middlewares=[self._refuse_other_origins])
        app.router.add_get("/config.json", self._get_config)
        app.router.add_get("/{path:.*}", self._get_file)
        app.on_response_prepare.append(self._add_security_headers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.close()
            # asyncio's error text includes the address, uvloop's does not.
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise StartError(f"the page cannot listen on {host}:{port}: {reason}") from error
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening and close every connection. Closing twice, or before the start, does nothing."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _refuse_other_origins(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        hosts, origins = (request.headers.getall(name, []) for name in ("Host", "Origin"))
        # Repeated headers are ambiguous; joined by a comma they match no allowed value.
        refusal = self._origins.refusal(",".join(hosts), ",".join(origins) if origins else None)
        if refusal is not None:
            raise web.HTTPForbidden(text=refusal)
        return await handler(request)

    async def _get_config(self, _request: web.Request) -> web.Response:
        return web.json_response(self._config)

    async def _get_file(self, request: web.Request) -> web.Response:
        found = self._files.get(request.match_info["path"] or "index.html")
        if found is None:
            raise web.HTTPNotFound
        body, content_type = found
        return web.Response(body=body, content_type=content_type, charset="utf-8")

    async def _add_security_headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self._headers)


def _read_files() -> Mapping[str, tuple[bytes, str]]:
    # A few small files, kept in memory, so that no request reaches the file system.
    return {
        prefix + file.name: (file.read_bytes(), CONTENT_TYPES[suffix])
        for prefix, folder in FOLDERS.items()
        for file in files("groupcast_web").joinpath(folder).iterdir()
        if (suffix := PurePath(file.name).suffix) in CONTENT_TYPES
    }
