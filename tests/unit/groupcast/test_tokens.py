"""Validation of tokens, and the fetching of the pool's keys."""

from __future__ import annotations

import base64
import http.client
import threading
import time
from collections.abc import Callable
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groupcast.errors import KeysUnavailableError, MisplacedTokenError, RefusedNameError, TokenError
from groupcast.tokens import (
    CLOCK_SKEW_S,
    FIRST_FETCH_EVERY_S,
    KEYS_RENEWED_AFTER_S,
    REFRESH_EVERY_S,
    KeySet,
    Verifier,
)

ISSUER = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_pool"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def jwks(*key_ids: str) -> bytes:
    public = jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    return orjson.dumps({"keys": [{**public, "kid": one, "alg": "RS256", "use": "sig"} for one in key_ids]})


class Pool:
    """Serves keys and counts requests, with a clock that the test moves."""

    def __init__(self, *key_ids: str) -> None:
        self.key_ids = key_ids
        self.fetches = 0
        self.broken = False
        self.now_s = 10.0

    def fetch(self) -> bytes:
        self.fetches += 1
        if self.broken:
            raise OSError("no way")
        return jwks(*self.key_ids)

    def keys(self) -> KeySet:
        return KeySet(self.fetch, lambda: self.now_s)


def verifier(token_use: str = "any") -> Verifier:
    return Verifier(Pool("k1").keys(), issuer=ISSUER, client_id="client", token_use=token_use)


def access(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {
        "sub": "0000-ann",
        "iss": ISSUER,
        "client_id": "client",
        "token_use": "access",
        "username": "ann",
        "cognito:groups": ["private-team"],
        "iat": now,
        "exp": now + 3600,
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def identity(**changes: Any) -> dict[str, Any]:
    given = {"client_id": None, "username": None, "aud": "client", "cognito:username": "ann"}
    return access(**(given | {"token_use": "id"} | changes))


def signed(
    claims: dict[str, Any], key: Any = KEY, algorithm: str = "RS256", key_id: str | None = "k1"
) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": key_id} if key_id else {})


@pytest.mark.parametrize("claims", [access(), identity()], ids=["access", "id"])
def test_a_token_identifies_its_user(claims: dict[str, Any]) -> None:
    """Both kinds give the user, their groups, and the expiry."""
    principal = verifier().verify(signed(claims))
    assert (principal.user_id, principal.name, principal.groups) == ("0000-ann", "ann", ("private-team",))
    assert principal.authorized_until_s == claims["exp"] + CLOCK_SKEW_S


def test_clocks_may_differ_a_little() -> None:
    """A new token is valid on a machine whose clock is behind."""
    now = int(time.time())
    ahead = access(iat=now + CLOCK_SKEW_S - 1, nbf=now + CLOCK_SKEW_S - 1)
    behind = access(exp=now - CLOCK_SKEW_S + 2)
    assert [verifier().verify(signed(claims)).name for claims in (ahead, behind)] == ["ann", "ann"]


def unsigned(claims: dict[str, Any], algorithm: str) -> str:
    parts = ({"alg": algorithm, "kid": "k1", "typ": "JWT"}, claims)
    return (
        ".".join(base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode() for part in parts) + "."
    )


def signed_with_public_key(claims: dict[str, Any]) -> str:
    import hashlib  # noqa: PLC0415
    import hmac  # noqa: PLC0415

    head = unsigned(claims, "HS256")[:-1]
    mac = hmac.new(PUBLIC_PEM, head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


REFUSED: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "garbage": lambda: "garbage",
    "not ascii": lambda: "é.é.é",
    "a lone surrogate": lambda: "\ud800",
    "alg none": lambda: unsigned(access(), "none"),
    "HS256 with the public key": lambda: signed_with_public_key(access()),
    "RS512": lambda: signed(access(), algorithm="RS512"),
    "wrong key": lambda: signed(access(), OTHER_KEY),
    "unknown key": lambda: signed(access(), key_id="k2"),
    "no key id": lambda: signed(access(), key_id=None),
    "wrong issuer": lambda: signed(access(iss=ISSUER + "x")),
    "expired": lambda: signed(access(exp=int(time.time()) - CLOCK_SKEW_S - 1)),
    "not yet valid": lambda: signed(access(nbf=int(time.time()) + 60)),
    "from the future": lambda: signed(access(iat=int(time.time()) + 60)),
    "no expiry": lambda: signed(access(exp=None)),
    "no sub": lambda: signed(access(sub=None)),
    "no token_use": lambda: signed(access(token_use=None)),
    "no user name": lambda: signed(access(username=None)),
    "groups are no list": lambda: signed(access(**{"cognito:groups": "private-team"})),
    "truncated": lambda: signed(access())[:-20],
    "without its signature": lambda: signed(access()).rpartition(".")[0] + ".",
    "10 KB": lambda: signed(access(padding="x" * 8000)),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_a_foreign_token_identifies_nobody(make: Callable[[], str]) -> None:
    """The reason quotes nothing of it."""
    token = make()
    with pytest.raises(TokenError) as refused:
        verifier().verify(token)
    assert not isinstance(refused.value, MisplacedTokenError)
    assert not any(part and part in str(refused.value) for part in token.split("."))


@pytest.mark.parametrize(
    ("claims", "token_use"),
    [
        (access(client_id="other"), "any"),
        (identity(aud="other"), "any"),
        (identity(), "access"),
        (access(), "id"),
        (access(token_use="refresh"), "any"),
        (access(client_id=None, aud="client"), "any"),
    ],
)
def test_a_token_for_another_purpose_is_refused(claims: dict[str, Any], token_use: str) -> None:
    """Another client's token, or the other kind if one is required."""
    with pytest.raises(MisplacedTokenError):
        verifier(token_use).verify(signed(claims))


@pytest.mark.parametrize(
    "claims", [access(username="\u0430nn"), identity(**{"cognito:username": "a\u034fnn"})]
)
def test_a_name_that_looks_like_anothers_is_refused(claims: dict[str, Any]) -> None:
    """In both kinds of token; the reason is a code without the name."""
    with pytest.raises(RefusedNameError, match=r"^user name: (mixed-scripts|character)$"):
        verifier().verify(signed(claims))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_change_to_a_token_goes_unnoticed(data: st.DataObject) -> None:
    """Any replaced character makes it invalid, without other exceptions."""
    token = signed(access())
    at = data.draw(st.integers(0, len(token) - 1))
    changed = data.draw(st.sampled_from("ABCdef012-_.=+/é ").filter(lambda one: one != token[at]))
    forged = token[:at] + changed + token[at + 1 :]
    # The last character of a part has unused bits.
    if at + 1 == len(token) or token[at + 1] == ".":
        return
    with pytest.raises(TokenError):
        verifier().verify(forged)


def test_keys_are_fetched_once() -> None:
    """For any number of tokens."""
    pool = Pool("k1", "k2")
    keys = pool.keys()
    for _ in range(100):
        assert keys.key("k1").key_id == "k1"
        assert keys.key("k2").key_id == "k2"
    assert pool.fetches == 1


def test_keys_fetched_ahead_are_not_fetched_again() -> None:
    """If fetching ahead failed, the first token fetches them without a wait."""
    pool = Pool("k1")
    pool.broken = True
    keys = pool.keys()
    keys.prefetch()
    pool.broken = False
    assert keys.key("k1").key_id == "k1"
    assert pool.fetches == 2
    keys.prefetch()
    assert keys.key("k1").key_id == "k1"
    assert pool.fetches == 2


def test_a_silent_pool_delays_no_start() -> None:
    """Even if each of its addresses times out."""
    answered = threading.Event()

    def fetch() -> bytes:
        answered.wait(10)
        raise OSError("no answer")

    keys = KeySet(fetch, time.monotonic)
    began_s = time.monotonic()
    keys.prefetch(timeout_s=0.05)
    assert time.monotonic() - began_s < 5
    answered.set()


def test_unknown_keys_cause_at_most_one_fetch_a_minute() -> None:
    """That fetch finds keys that are new in the pool."""
    pool = Pool("k1")
    keys = pool.keys()
    for number in range(1000):
        with pytest.raises(TokenError):
            keys.key(f"unknown{number}")
    assert pool.fetches == 1
    pool.key_ids = ("k1", "new")
    with pytest.raises(TokenError):
        keys.key("new")
    pool.now_s += REFRESH_EVERY_S
    assert keys.key("new").key_id == "new"
    assert pool.fetches == 2


def test_keys_are_renewed_in_time() -> None:
    """A withdrawn key is refused after an hour; an unreachable pool changes nothing."""
    pool = Pool("k1", "withdrawn")
    keys = pool.keys()
    keys.key("withdrawn")
    pool.key_ids = ("k1",)
    pool.broken = True
    pool.now_s += KEYS_RENEWED_AFTER_S + 1
    assert keys.key("withdrawn").key_id == "withdrawn"
    pool.broken = False
    pool.now_s += REFRESH_EVERY_S
    with pytest.raises(TokenError, match="unknown key"):
        keys.key("withdrawn")


def test_an_unreachable_pool_has_an_error_of_its_own() -> None:
    """It is not the token's fault, and the fetch is retried later."""
    pool = Pool("k1")
    pool.broken = True
    keys = pool.keys()
    for _ in range(10):
        with pytest.raises(KeysUnavailableError):
            keys.key("k1")
    assert pool.fetches == 1
    pool.broken = False
    pool.now_s += FIRST_FETCH_EVERY_S
    assert keys.key("k1").key_id == "k1"


@pytest.mark.parametrize("error", [OSError(), ValueError(), http.client.BadStatusLine("x")])
def test_an_invalid_answer_removes_no_key(error: Exception) -> None:
    """Known keys stay valid, however the fetch fails."""
    answers: list[Any] = [jwks("k1"), error]

    def fetch() -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bytes(answer)

    now_s = [0.0]
    keys = KeySet(fetch, lambda: now_s[0])
    keys.key("k1")
    now_s[0] = KEYS_RENEWED_AFTER_S + 1
    assert (keys.key("k1").key_id, answers) == ("k1", [])


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"keys":[]}', b'{"keys":[{"kty":"oct","k":"AA","kid":"k1"}]}']
)
def test_an_invalid_key_set_gives_no_keys(document: bytes) -> None:
    """Above all no symmetric ones."""
    with pytest.raises(KeysUnavailableError):
        KeySet(lambda: document, lambda: 0.0).key("k1")
