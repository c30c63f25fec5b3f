"""AWS Signature Version 4; the parts that several requests share are computed once.

Pure: the time is an argument. `Scope` holds what depends on credentials, second, region and service;
`ConnectionSigner` adds what the posts of one body to many connections share. Signatures are those of
botocore's SigV4Auth (tests compare them).
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
import re
import time
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALGORITHM = "AWS4-HMAC-SHA256"
_HMAC_BLOCK_BYTES = 64
_HMAC_INNER = bytes(byte ^ 0x36 for byte in range(256))
_HMAC_OUTER = bytes(byte ^ 0x5C for byte in range(256))
# As API Gateway makes them; any other id takes the slower, general way.
_is_usual_id = re.compile(r"[A-Za-z0-9_-]+=*").fullmatch


@dataclass(frozen=True, slots=True)
class Credentials:
    """AWS credentials. `expires_at` is Unix time in seconds, None if they don't expire."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires_at: float | None = None


class Scope:
    """What signatures share within one second: credentials, region and service."""

    __slots__ = ("_inner", "_outer", "amz_date", "credential", "token")

    def __init__(self, credentials: Credentials, *, region: str, service: str, unix_s: int) -> None:
        self.amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(unix_s))
        date = self.amz_date[:8]
        scope = f"{date}/{region}/{service}/aws4_request"
        self.credential = f"{credentials.access_key}/{scope}"
        self.token = credentials.token
        key = _signing_key(credentials.secret_key, date, region, service).ljust(_HMAC_BLOCK_BYTES, b"\0")
        # An HMAC is two hashes (RFC 2104). Both are kept as they stand after the part that does not
        # change, which halves the price of a signature.
        self._inner = sha256(
            key.translate(_HMAC_INNER) + f"{_ALGORITHM}\n{self.amz_date}\n{scope}\n".encode()
        )
        self._outer = sha256(key.translate(_HMAC_OUTER))

    def signature(self, canonical_request: bytes) -> str:
        """Return the signature of a canonical request, in hex."""
        inner = self._inner.copy()
        inner.update(sha256(canonical_request).hexdigest().encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()

    def authorization(self, signed_headers: str) -> str:
        """Return the Authorization header's value up to where the signature goes."""
        return f"{_ALGORITHM} Credential={self.credential}, SignedHeaders={signed_headers}, Signature="


def sign(scope: Scope, method: str, host: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a whole signed request (head and body), such as a POST to DynamoDB.

    `path` is as it goes over the wire, without query. `headers` are all signed.
    """
    canonical, signed, wire = _headers(scope, host, headers)
    payload = sha256(body).hexdigest()
    canonical_request = f"{method}\n{quote(path, safe='/~')}\n\n{canonical}\n{signed}\n{payload}"
    authorization = scope.authorization(signed) + scope.signature(canonical_request.encode())
    head = f"{method} {path} HTTP/1.1\r\n{wire}Authorization: {authorization}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class ConnectionSigner:
    """Requests to `{base_path}/@connections/{id}`, the same for each connection but for path and signature.

    Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/
    apigateway-how-to-call-websocket-api-connections.html
    """

    __slots__ = ("_canonical_end", "_canonical_start", "_end", "_middle", "_scope", "_start")

    def __init__(self, scope: Scope, method: str, host: str, base_path: str, body: bytes) -> None:
        self._scope = scope
        canonical, signed, wire = _headers(scope, host, {})
        payload = sha256(body).hexdigest()
        path = f"{base_path}/@connections/"
        self._canonical_start = f"{method}\n{quote(path, safe='/~')}".encode()
        self._canonical_end = f"\n\n{canonical}\n{signed}\n{payload}".encode()
        self._start = f"{method} {path}".encode()
        self._middle = f" HTTP/1.1\r\n{wire}Authorization: {scope.authorization(signed)}".encode()
        self._end = f"\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def request(self, connection_id: str) -> bytes:
        """Return the whole request (head and body) for one connection.

        Raises ValueError for an impossible path segment: an empty id, `.` and `..`, lone surrogates.
        """
        encoded = _encode(connection_id)
        # The canonical path is the wire's path encoded once more, and only `%` changes by that.
        canonical = b"".join((self._canonical_start, encoded.replace(b"%", b"%25"), self._canonical_end))
        signature = self._scope.signature(canonical).encode()
        return b"".join((self._start, encoded, self._middle, signature, self._end))


def _encode(connection_id: str) -> bytes:
    if _is_usual_id(connection_id):
        return connection_id.replace("=", "%3D").encode()
    if connection_id in {"", ".", ".."}:
        raise ValueError(f"not a connection id: {connection_id!r}")
    return quote(connection_id, safe="-_.~").encode()


def _headers(scope: Scope, host: str, headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Return the canonical headers, the list of their names, and the headers for the wire."""
    every = {"Host": host, "X-Amz-Date": scope.amz_date, **headers}
    if scope.token is not None:
        every["X-Amz-Security-Token"] = scope.token
    named = sorted((name.lower(), " ".join(value.split())) for name, value in every.items())
    canonical = "".join(f"{name}:{value}\n" for name, value in named)
    wire = "".join(f"{name}: {value}\r\n" for name, value in every.items())
    return canonical, ";".join(name for name, _ in named), wire


# One of each is in use at a time; the second serves the minutes around midnight.
@lru_cache(maxsize=2)
def _signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
