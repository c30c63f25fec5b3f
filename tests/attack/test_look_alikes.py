"""Names of groups and users that a reader would mistake for others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.attack.conftest import AttackedStack
from tests.attack.handshake import shake_hands
from tests.crowd import eventually

pytestmark = pytest.mark.stack
Connect = Callable[..., Any]

PRIVATE = "private-team"
UNSEEN = "034F FE00 FE0F E0100 180B 17B4 115F 1160 3164 FFA0 16FE4 2800 FFFC".split()
GROUPS = [
    *(f"{PRIVATE[:at]}{chr(int(point, 16))}{PRIVATE[at:]}" for point in UNSEEN for at in (0, 3, 8)),
    *(f"private{dash}team" for dash in "\u2212\u02d7\u2043"),
    "\u0440rivate-team",
    "pr\u0456vate-team",
    "privat\u0435-team",
    "pr\u0131vate-team",
]
# Keyed by the reason in the log.
NAMES = {
    "mixed-scripts": ["\u0430nn", "\u0391nn", "ann\u0967"],
    "character": ["a\u034fnn", "ann\u3164", "\u0251nn", "\uff41nn", "\U0001d41ann"],
    "not-nfc": ["ann\u0065\u0301"],
}


async def test_no_look_alike_of_a_private_group_is_open(
    attacked_stack: AttackedStack, connect: Connect
) -> None:
    """Outsiders cannot join one, nor can members, who would mistake it for their group."""
    for user in ("ann", "eve"):
        peer = await connect(attacked_stack.stack, attacked_stack.stack.token(user))
        for group in GROUPS:
            refusal = await peer.ask({"action": "joinGroup", "groupId": group}, "error")
            assert refusal["code"] == "Forbidden", ascii(group)


async def test_no_look_alike_of_a_user_is_let_in(attacked_stack: AttackedStack) -> None:
    """403 even though the pool issued the token; the log tells the operator the reason, not the name."""
    mint = attacked_stack.mint
    for reason, names in NAMES.items():
        for name in names:
            token = mint.token("eve", username=name)
            refusal = await shake_hands(attacked_stack.stack.gateway_url, f"/?token={token}")
            assert refusal.status == 403, name
        logged = f"user name: {reason}"
        await eventually(lambda: attacked_stack.stack.log.read_text().count(logged) >= len(names))  # noqa: B023


async def test_names_in_any_script_are_admitted(attacked_stack: AttackedStack, connect: Connect) -> None:
    """Latin letters may be mixed in where a language does so."""
    for name in ("김민수", "kim민수", "田中たろう", "王小明", "Ольга", "محمد", "प्रिया", "สมชาย", "O’Brien"):
        peer = await connect(attacked_stack.stack, attacked_stack.mint.token("eve", username=name))
        await peer.join(f"of-{name}")
