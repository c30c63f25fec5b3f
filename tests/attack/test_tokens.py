"""Tokens that open a connection, and proof that no token is ever logged."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from groupcast.tokens import CLOCK_SKEW_S
from tests.attack.conftest import AttackedStack
from tests.attack.handshake import Handshake, shake_hands
from tests.attack.mint import Mint
from tests.conftest import Stack
from tests.contract.peer import Peer

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]
Connect = Callable[..., Any]
Headers = list[tuple[str, str]]

PROTOCOLS = "Sec-WebSocket-Protocol"
OTHERS_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
UNKNOWN, NOT_FOR_US = 401, 403
ISSUER = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_other"

REFUSED: dict[str, tuple[int, Callable[[Mint], str]]] = {
    "garbage": (UNKNOWN, lambda _: "garbage"),
    "three parts of garbage": (UNKNOWN, lambda _: "gar.ba.ge"),
    "alg none": (UNKNOWN, lambda mint: mint.unsigned(mint.claims("ann"))),
    "HS256 with the public key": (UNKNOWN, lambda mint: mint.signed_with_public_key(mint.claims("ann"))),
    "wrong key": (UNKNOWN, lambda mint: mint.signed(mint.claims("ann"), OTHERS_KEY)),
    "wrong issuer": (UNKNOWN, lambda mint: mint.token("ann", iss=ISSUER)),
    "other client": (NOT_FOR_US, lambda mint: mint.token("ann", client_id="other")),
    "expired": (UNKNOWN, lambda mint: mint.token("ann", exp=int(time.time()) - CLOCK_SKEW_S - 1)),
    "not yet valid": (UNKNOWN, lambda mint: mint.token("ann", nbf=int(time.time()) + 60)),
    "id token": (NOT_FOR_US, lambda mint: mint.stack.token("ann", "id")),
    "truncated": (UNKNOWN, lambda mint: mint.token("ann")[:-20]),
    "without its signature": (UNKNOWN, lambda mint: mint.token("ann").rpartition(".")[0] + "."),
    "another's signature": (
        UNKNOWN,
        lambda mint: mint.token("ann").rpartition(".")[0] + "." + mint.token("bob").rpartition(".")[2],
    ),
}


async def offer(stack: Stack, token: str, carrier: str) -> Handshake:
    if carrier == "query":
        return await shake_hands(stack.gateway_url, f"/?token={token}")
    return await shake_hands(stack.gateway_url, headers=[(PROTOCOLS, f"groupcast.v1, bearer.{token}")])


@pytest.mark.parametrize("carrier", ["subprotocol", "query"])
@pytest.mark.parametrize(("status", "make"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_wrong_token_is_refused(
    attacked_stack: AttackedStack, carrier: str, status: int, make: Callable[[Mint], str]
) -> None:
    """401 if it identifies nobody, 403 if it is for another purpose; it is never echoed."""
    token = make(attacked_stack.mint)
    refusal = await offer(attacked_stack.stack, token, carrier)
    assert refusal.status == status
    assert token not in refusal.answer


@pytest.mark.parametrize(("carrier", "status"), [("subprotocol", UNKNOWN), ("query", 414)])
async def test_a_token_of_10_kb_is_refused(attacked_stack: AttackedStack, carrier: str, status: int) -> None:
    """Even if validly signed; the gateway already refuses URLs over 4 KB."""
    token = attacked_stack.mint.token("ann", padding="x" * 7_000)
    assert len(token) > 10_000
    assert (await offer(attacked_stack.stack, token, carrier)).status == status


NOT_ONE: dict[str, Callable[[str, str], tuple[str, Headers]]] = {
    "none at all": lambda _ann, _bob: ("/", []),
    "no bearer": lambda _ann, _bob: ("/", [(PROTOCOLS, "groupcast.v1")]),
    "an empty bearer": lambda _ann, _bob: ("/", [(PROTOCOLS, "groupcast.v1, bearer.")]),
    "an empty parameter": lambda _ann, _bob: ("/?token=", []),
    "a token for a name": lambda ann, _bob: (f"/?name={ann}", []),
    "a token where browsers can't put it": lambda ann, _bob: ("/", [("Authorization", f"Bearer {ann}")]),
    "two subprotocols": lambda ann, bob: ("/", [(PROTOCOLS, f"groupcast.v1, bearer.{ann}, bearer.{bob}")]),
    "two headers": lambda ann, bob: ("/", [(PROTOCOLS, f"bearer.{ann}"), (PROTOCOLS, f"bearer.{bob}")]),
    "the same twice": lambda ann, _bob: ("/", [(PROTOCOLS, f"bearer.{ann}, bearer.{ann}")]),
    "header and parameter": lambda ann, bob: (f"/?token={bob}", [(PROTOCOLS, f"bearer.{ann}")]),
    "two parameters": lambda ann, bob: (f"/?token={ann}&token={bob}", []),
    "a good one and an empty one": lambda ann, _bob: (f"/?token={ann}&token=", []),
}


@pytest.mark.parametrize("make", NOT_ONE.values(), ids=NOT_ONE.keys())
async def test_two_tokens_are_refused(
    attacked_stack: AttackedStack, make: Callable[[str, str], tuple[str, Headers]]
) -> None:
    """Neither of two valid tokens counts: the sender must not depend on the order of reading."""
    target, headers = make(attacked_stack.mint.token("ann"), attacked_stack.mint.token("bob"))
    assert (await shake_hands(attacked_stack.stack.gateway_url, target, headers)).status == UNKNOWN


@pytest.mark.parametrize("offered", ["groupcast.v1, bearer.{}", "bearer.{},groupcast.v1"])
async def test_the_answer_names_our_subprotocol_alone(attacked_stack: AttackedStack, offered: str) -> None:
    """In any order of offers: the subprotocol with the token is only for the server."""
    token = attacked_stack.stack.token("ann")
    accepted = await shake_hands(
        attacked_stack.stack.gateway_url, headers=[(PROTOCOLS, offered.format(token))]
    )
    assert accepted.status == 101
    assert accepted.headers["sec-websocket-protocol"] == "groupcast.v1"
    assert token not in accepted.answer


async def test_a_bearer_alone_gets_no_subprotocol(attacked_stack: AttackedStack) -> None:
    """It connects without a subprotocol, because it offered none of ours."""
    token = attacked_stack.stack.token("ann")
    accepted = await shake_hands(attacked_stack.stack.gateway_url, headers=[(PROTOCOLS, f"bearer.{token}")])
    assert accepted.status == 101
    assert "sec-websocket-protocol" not in accepted.headers


@pytest.mark.parametrize("use", ["access", "id"])
async def test_either_kind_of_token_names_the_sender(
    cognito_stack: Stack, connect: Connect, use: str
) -> None:
    """If a stage accepts both; ?token= works like the subprotocol."""
    group = f"group-{use}-{time.time_ns()}"
    ann = await connect(cognito_stack, cognito_stack.token("ann", use))
    assert ann.socket.subprotocol == "groupcast.v1"
    async with Peer.connect(f"{cognito_stack.gateway_url}?token={cognito_stack.token('bob', use)}") as bob:
        assert bob.socket.subprotocol is None
        await ann.join(group)
        await bob.join(group)
        await ann.say("I am ann")
        await bob.say("I am bob")
        said = {message["sender"]: message["message"] for message in await bob.messages(1)}
        while len(said) < 2:
            said |= {message["sender"]: message["message"] for message in await bob.messages(1)}
    assert said == {"ann": "I am ann", "bob": "I am bob"}


async def test_no_token_is_logged(attacked_stack: AttackedStack, connect: Connect) -> None:
    """Neither valid nor invalid tokens appear in frames, function logs, or the stack's output."""
    stack, mint = attacked_stack.stack, attacked_stack.mint
    ann, other, renewal = mint.token("ann"), mint.token("ann", jti="other"), mint.token("ann", jti="renewal")
    refused = [make(mint) for _, make in REFUSED.values() if make(mint).count(".") == 2]
    frames: list[Any] = []
    peer = await connect(stack, ann)
    async with Peer.connect(f"{stack.gateway_url}?token={other}") as second:
        frames += [await second.join("group"), await second.say("hi"), await second.messages(1)]
    for token in refused:
        frames += [(await offer(stack, token, carrier)).answer for carrier in ("subprotocol", "query")]
        frames.append(await peer.ask({"action": "renew", "token": token}, "error"))
    frames.append(await peer.ask({"action": "renew", "token": renewal}, "renewed"))
    # A failing frame is the likeliest to be quoted in a log.
    for broken in (
        {"action": "renew", "token": [ann]},
        {"action": "dance", "token": ann},
        f'{{"token":"{ann}"',
    ):
        frames.append(await peer.ask(broken, "error"))
    written = attacked_stack.written()
    assert written.count("sign-in refused") >= 2 * len(refused)
    for token in (ann, other, renewal, *refused):
        # Search each part separately, except parts common to all tokens or log lines.
        for part in (part for part in token.split(".")[1:] if len(part) > 20):
            assert part not in written
            assert part not in json.dumps(frames)
