"""Groups and users that a reader would take for others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.attack.conftest import Besieged
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
# By the reason in the log.
NAMES = {
    "mixed-scripts": ["\u0430nn", "\u0391nn", "ann\u0967"],
    "character": ["a\u034fnn", "ann\u3164", "\u0251nn", "\uff41nn", "\U0001d41ann"],
    "not-nfc": ["ann\u0065\u0301"],
}


async def test_no_look_alike_of_a_private_group_is_open(besieged: Besieged, connect: Connect) -> None:
    """Neither to those outside the private group nor to its members, who would take it for theirs."""
    for user in ("ann", "eve"):
        peer = await connect(besieged.stack, besieged.stack.token(user))
        for group in GROUPS:
            refusal = await peer.ask({"action": "joinGroup", "groupId": group}, "error")
            assert refusal["code"] == "Forbidden", ascii(group)


async def test_no_look_alike_of_a_user_is_let_in(besieged: Besieged) -> None:
    """403 as it is the pool that made them; the log tells the operator why, and not who."""
    mint = besieged.mint
    for reason, names in NAMES.items():
        for name in names:
            token = mint.token("eve", username=name)
            refusal = await shake_hands(besieged.stack.gateway_url, f"/?token={token}")
            assert refusal.status == 403, name
        logged = f"user name: {reason}"
        await eventually(lambda: besieged.stack.log.read_text().count(logged) >= len(names))  # noqa: B023


async def test_people_of_the_world_are_let_in(besieged: Besieged, connect: Connect) -> None:
    """Under their own names, which Latin letters may stand beside where people write so."""
    for name in ("김민수", "kim민수", "田中たろう", "王小明", "Ольга", "محمد", "प्रिया", "สมชาย", "O’Brien"):
        peer = await connect(besieged.stack, besieged.mint.token("eve", username=name))
        await peer.join(f"of-{name}")
