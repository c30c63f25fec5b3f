"""The chat check of `groupcast doctor` on the local stack, without sign-in."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from groupcast_cli.doctor.chat import CONNECTIONS, MESSAGES, Trial, hold_chat
from groupcast_cli.doctor.examination import Login, _chat
from groupcast_cli.doctor.finding import Status
from groupcast_cli.stage import Place
from groupcast_client.model import Endpoint
from localcloud.children import free_port
from tests.conftest import Stack

if TYPE_CHECKING:
    from groupcast_cli.doctor.subject import Subject


@pytest.mark.stack
async def test_a_guest_receives_every_message_on_both_connections(stack: Stack) -> None:
    trial = Trial()
    await hold_chat([Endpoint(stack.gateway_url, name="doctor")] * CONNECTIONS, trial)
    assert (len(trial.connect_ms), len(trial.ack_ms), len(trial.delivery_ms)) == (2, MESSAGES, 2 * MESSAGES)
    assert (trial.lost, trial.duplicates) == (0, 0)
    assert all(0 < ms < 10_000 for ms in (*trial.connect_ms, *trial.ack_ms, *trial.delivery_ms))


@dataclass(frozen=True)
class Deployed:
    """The part of Subject that the chat check uses."""

    outputs: dict[str, str]
    stage: str = "dev"
    place: Place = field(default_factory=Place)

    async def stack(self) -> dict[str, Any]:
        return {"Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in self.outputs.items()]}

    async def expected(self) -> SimpleNamespace:
        return SimpleNamespace(auth_required=False)


@pytest.mark.stack
async def test_a_custom_domain_is_checked(stack: Stack) -> None:
    """One leads to the same gateway, one leads nowhere."""
    outputs = {
        "ManagementEndpoint": stack.gateway_url.replace("ws", "http", 1),
        "UserPoolId": "",
        "UserPoolClientId": "",
    }
    own_url = stack.gateway_url.replace("127.0.0.1", "localhost")
    found = await _chat(cast("Subject", Deployed({**outputs, "OwnDomainUrl": own_url})), Login())
    assert (found.status, f"ms, the last through {own_url};" in found.text) == (Status.OK, True), found.text
    nowhere = f"ws://127.0.0.1:{free_port()}"
    found = await _chat(cast("Subject", Deployed({**outputs, "OwnDomainUrl": nowhere})), Login())
    assert found.status is Status.TO_DO
    assert f"cannot connect to {nowhere}" in found.text
