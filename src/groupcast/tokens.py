"""Verifies the user pool's tokens.

Source: https://docs.aws.amazon.com/cognito/latest/developerguide/
amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import jwt
import orjson

from groupcast.auth import MAX_TOKEN_CHARS, Principal
from groupcast.aws.tls import tls_context
from groupcast.errors import KeysUnavailableError, MisplacedTokenError, RefusedNameError, TokenError
from groupcast.names import name_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from groupcast.settings import Settings

# Tolerated difference between the clocks of the pool and of a function.
CLOCK_SKEW_S = 5
# Tokens with unknown keys make us fetch the pool's keys, but not more often than this.
REFRESH_EVERY_S = 60.0
# Without any key nobody can sign in, so retry the first fetch sooner.
FIRST_FETCH_EVERY_S = 5.0
# Refresh keys of this age, since one may have been revoked; keep them if that fails.
KEYS_RENEWED_AFTER_S = 60 * 60.0
FETCH_TIMEOUT_S = 2.0
PREFETCH_S = 2.0
MAX_JWKS_BYTES = 64 * 1024
MAX_NAME_CHARS = 128

_USES = {"any": ("access", "id"), "access": ("access",), "id": ("id",)}


class Verifier:
    """Verifies tokens that one user pool issued for one of its clients."""

    def __init__(self, keys: KeySet, *, issuer: str, client_id: str, token_use: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._client_id = client_id
        self._uses = _USES[token_use]

    @classmethod
    def of(cls, settings: Settings, monotonic: Callable[[], float]) -> Verifier:
        """The verifier of a deployed stage; `monotonic` gives seconds."""
        url = f"{settings.cognito_endpoint}/{settings.user_pool_id}/.well-known/jwks.json"
        return cls(
            KeySet(lambda: fetch(url), monotonic),
            issuer=f"https://cognito-idp.{settings.region}.amazonaws.com/{settings.user_pool_id}",
            client_id=settings.user_pool_client_id,
            token_use=settings.token_use,
        )

    def prefetch(self) -> None:
        """Fetch the pool's keys before the first token needs them. `verify` retries a failed fetch."""
        self._keys.prefetch()

    def verify(self, token: str) -> Principal:
        """The user of a token.

        Raises TokenError for an invalid token, MisplacedTokenError for one that was issued for another client
        or use, RefusedNameError for a name that may look like another user's, and KeysUnavailableError if the
        pool's keys cannot be fetched.
        """
        if len(token) > MAX_TOKEN_CHARS:
            raise TokenError("too long")
        if not token.isascii():
            raise TokenError("not ASCII")
        try:
            claims = jwt.decode(
                token,
                self._keys.key(_key_id(token)),
                algorithms=["RS256"],
                issuer=self._issuer,
                leeway=CLOCK_SKEW_S,
                # An access token has a client id instead of an audience: `_require_ours` checks either.
                options={"require": ["exp", "iat", "sub", "token_use"], "verify_aud": False},
            )
        except jwt.InvalidTokenError as error:
            # Log the class name only: the text may quote the token's content.
            raise TokenError(type(error).__name__) from None
        self._require_ours(claims)
        return _principal(claims)

    def _require_ours(self, claims: Mapping[str, Any]) -> None:
        use = claims["token_use"]
        if use not in self._uses:
            raise MisplacedTokenError(f"token_use is not {' or '.join(self._uses)}")
        if claims.get("client_id" if use == "access" else "aud") != self._client_id:
            raise MisplacedTokenError("issued for another client")


class KeySet:
    """Caches the pool's public keys by id; `fetch` returns them as a JWKS (RFC 7517)."""

    def __init__(self, fetch: Callable[[], bytes], monotonic: Callable[[], float]) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked_at: float | None = None
        self._fresh_at = 0.0

    def key(self, key_id: str) -> jwt.PyJWK:
        """The key with this id. TokenError if it is unknown, KeysUnavailableError without any keys."""
        if key_id not in self._keys or self._monotonic() - self._fresh_at > KEYS_RENEWED_AFTER_S:
            self._refresh()
        if not self._keys:
            raise KeysUnavailableError("the user pool's keys could not be fetched")
        if key_id not in self._keys:
            raise TokenError("unknown key")
        return self._keys[key_id]

    def prefetch(self, timeout_s: float = PREFETCH_S) -> None:
        """Fetch the keys in advance, for at most `timeout_s`; if that fails, the next `key` tries again."""
        # In a thread, because urllib's timeout applies to each address and read, and not to DNS lookups.
        fetching = threading.Thread(target=self._refresh, daemon=True)
        fetching.start()
        fetching.join(timeout_s)
        if not self._keys:
            self._asked_at = None

    def _refresh(self) -> None:
        now = self._monotonic()
        every_s = REFRESH_EVERY_S if self._keys else FIRST_FETCH_EVERY_S
        if self._asked_at is not None and now - self._asked_at < every_s:
            return
        self._asked_at = now
        # After a failed fetch the old keys stay in use.
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            self._keys = _read_keys(self._fetch())
            self._fresh_at = now


def fetch(url: str) -> bytes:
    """The first MAX_JWKS_BYTES of the document at an http(s) URL. OSError if it cannot be fetched."""
    tls = tls_context() if url.startswith("https://") else None
    with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S, context=tls) as answer:  # noqa: S310 - settings allow http(s) only
        document: bytes = answer.read(MAX_JWKS_BYTES)
    return document


def _read_keys(document: bytes) -> dict[str, jwt.PyJWK]:
    try:
        listed = orjson.loads(document)["keys"]
        keys = [jwt.PyJWK(one, "RS256") for one in listed if one.get("kty") == "RSA" and "kid" in one]
    except (jwt.PyJWTError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a JWKS: {type(error).__name__}") from None
    if not keys:
        raise ValueError("a JWKS without RSA keys")
    return {str(key.key_id): key for key in keys}


def _key_id(token: str) -> str:
    key_id = jwt.get_unverified_header(token).get("kid")
    if not isinstance(key_id, str):
        raise TokenError("no key id")
    return key_id


def _principal(claims: Mapping[str, Any]) -> Principal:
    use = claims["token_use"]
    name = claims.get("username" if use == "access" else "cognito:username")
    groups = claims.get("cognito:groups", [])
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_CHARS:
        raise TokenError("no user name")
    if fault := name_fault(name):
        raise RefusedNameError(f"user name: {fault.code}")
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise TokenError("cognito:groups is not a list of names")
    return Principal(claims["sub"], name, tuple(groups), int(claims["exp"]) + CLOCK_SKEW_S)
