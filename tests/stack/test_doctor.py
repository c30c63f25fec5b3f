"""The chat of `groupcast doctor`, on the local stack, where nobody signs in."""

from __future__ import annotations

import pytest

from groupcast_cli.doctor.chat import MESSAGES, hold_chat
from groupcast_client.model import Endpoint
from tests.conftest import Stack


@pytest.mark.stack
async def test_a_guest_hears_every_message_on_both_connections(stack: Stack) -> None:
    trial = await hold_chat(Endpoint(stack.gateway_url, name="doctor"))
    assert (len(trial.connect_ms), len(trial.ack_ms), len(trial.delivery_ms)) == (2, MESSAGES, 2 * MESSAGES)
    assert (trial.lost, trial.duplicates) == (0, 0)
    assert all(0 < ms < 10_000 for ms in (*trial.connect_ms, *trial.ack_ms, *trial.delivery_ms))
