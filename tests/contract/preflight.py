"""Checks the URL and the token first: one sentence instead of a failure of every test."""

from __future__ import annotations

import asyncio
import os
import re
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import jwt
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from groupcast_cli.stage import Place, session_keys
from localcloud.service.model import REGION

CONNECT_TIMEOUT_S = 10
EXAMPLE = "wss://….execute-api.us-east-1.amazonaws.com/dev"
# Statuses of $connect and its authorizer; emulators answer 500 if an authorizer fails.
REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.INTERNAL_SERVER_ERROR})
NEW_TOKEN = "`groupcast token NAME --stage STAGE` prints another"
SIGN_IN = "where users sign in, give TOKEN=$(.venv/bin/groupcast token NAME --stage STAGE)"


class PreflightError(Exception):
    """The URL or the token is missing or unusable; the text is one sentence with the reason."""


def require_usable(url: str, token: str) -> None:
    """PreflightError if the URL or the token (empty: none) is invalid by itself."""
    if not url:
        raise PreflightError(f"the stage's URL is missing: make contract URL={EXAMPLE}")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise PreflightError(f"URL={url} is not the URL of a WebSocket API, such as {EXAMPLE}")
    if parts.query or parts.fragment:
        raise PreflightError("the URL must end with the stage: give the token as TOKEN, not in the URL")
    if token:
        _require_token(token)


async def connect_once(url: str, token: str) -> None:
    """Connect and disconnect; PreflightError if nobody listens or the connection is refused."""
    query = f"?token={token}" if token else "?name=contract"
    try:
        async with connect(f"{url}{query}", proxy=None, open_timeout=CONNECT_TIMEOUT_S):
            return
    except InvalidStatus as error:
        raise PreflightError(_refusal(error.response.status_code, url, token)) from None
    except (OSError, InvalidHandshake, asyncio.IncompleteReadError) as error:
        raise PreflightError(_silence(error, url)) from None


def boto_options(management_url: str) -> dict[str, Any]:
    """Options of a boto3 client for @connections: AWS's URL names the region for signing."""
    named = re.search(r"\.execute-api\.([a-z0-9-]+)\.", management_url)
    region = named[1] if named else os.environ.get("AWS_DEFAULT_REGION", REGION)
    return {"region_name": region, **session_keys(Place(region, management_url))}


def _require_token(token: str) -> None:
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise PreflightError(f"TOKEN is not a JSON Web Token: {NEW_TOKEN}") from None
    late_s = time.time() - claims.get("exp", float("inf"))
    if late_s >= 0:
        raise PreflightError(f"the token expired {late_s / 60:,.0f} minutes ago: {NEW_TOKEN}")


def _silence(error: Exception, url: str) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"nobody listens at {url}"
    reason = "no answer" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    hint = "; a server without TLS has ws://" if url.startswith("wss://") else ""
    return f"no WebSocket API answers at {url}: {reason}{hint}"


def _refusal(status: int, url: str, token: str) -> str:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "the user of the token has too many connections (429): close some, or wait a minute"
    if status not in REFUSED:
        return f"no WebSocket API answers at {url}: status {status}"
    if token:
        return f"the stage refuses the token ({status}): it may be another stage's, or expired; {NEW_TOKEN}"
    return f"the stage refuses a connection without a token ({status}): {SIGN_IN}, else check the URL's stage"
