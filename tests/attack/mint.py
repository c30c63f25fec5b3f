"""Tokens of a stack's user pool with any claims.

moto signs with a key pair published in its package. That is why no stage may ever trust it, and why a test
can make tokens that no pool would issue: one that ended a second ago, or one that begins in an hour.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import importlib.resources
import json
import math
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from groupcast.tokens import CLOCK_SKEW_S
from tests.conftest import Stack

_KEYS = importlib.resources.files("moto") / "cognitoidp/resources/jwks-private.json.gz"


class Mint:
    """Signs tokens like the user pool of `stack`: a real user's claims with changes."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        jwk = json.loads(gzip.decompress(_KEYS.read_bytes()))
        self._key_id: str = jwk["kid"]
        key = jwt.PyJWK(jwk, "RS256").key
        assert isinstance(key, rsa.RSAPrivateKey)
        self._key = key
        self._claims: dict[tuple[str, str], dict[str, Any]] = {}

    def claims(self, user: str, use: str = "access", /, **changes: Any) -> dict[str, Any]:
        """The claims of the demo user `user`; a change to None removes a claim."""
        if (user, use) not in self._claims:
            self._claims[user, use] = self.payload(self.stack.token(user, use))
        changed = self._claims[user, use] | changes
        return {name: value for name, value in changed.items() if value is not None}

    def token(self, user: str, use: str = "access", /, **changes: Any) -> str:
        return self.signed(self.claims(user, use, **changes))

    def signed(self, claims: dict[str, Any], key: rsa.RSAPrivateKey | None = None) -> str:
        """Sign with the pool's key, or with another key under the same name."""
        return jwt.encode(claims, key or self._key, algorithm="RS256", headers={"kid": self._key_id})

    @staticmethod
    def payload(token: str) -> dict[str, Any]:
        """Return a token's claims, unverified."""
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        return claims

    def unsigned(self, claims: dict[str, Any]) -> str:
        return f"{self._head('none', claims)}."

    def signed_with_public_key(self, claims: dict[str, Any]) -> str:
        """Sign with HS256 and the public key as the secret."""
        head = self._head("HS256", claims)
        pem = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return f"{head}.{_base64url(hmac.digest(pem, head.encode(), hashlib.sha256))}"

    def _head(self, algorithm: str, claims: dict[str, Any]) -> str:
        header = {"alg": algorithm, "kid": self._key_id, "typ": "JWT"}
        return ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))


def ending_in(left_s: int) -> int:
    """The `exp` of a token whose rights end in `left_s` seconds, or up to one later."""
    return math.ceil(time.time()) + left_s - CLOCK_SKEW_S


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
