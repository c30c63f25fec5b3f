"""tests/contract/ against a deployed groupcast."""

from __future__ import annotations

import re

import pytest

from tests.deploy.contract import run_contract
from tests.deploy.permissions import Grant, Roles
from tests.deploy.project import Stage

FANOUT = "fanoutMessage"
# Features of API Gateway that ministack 1.5.33 lacks. tests/unit/localcloud/gateway/ tests them against ours,
# and `make contract` on AWS.
NOT_THERE = {
    "test_handshake.py::test_our_subprotocol_is_echoed": "it takes no headers from $connect's answer",
    "test_handshake.py::test_another_stage_is_refused": "it takes any stage for the API's",
    "test_connections_api.py::test_get_describes_a_connection": "it names the fields in capitals",
    "test_connections_api.py::test_a_malformed_id_is_a_bad_request": "to it the id is merely unknown: 410",
    "test_connections_api.py::test_a_closed_connection_is_gone": "it takes posts for half a second more",
    "test_connections_api.py::test_more_than_128_kb_is_too_large": "it has no limit",
    "test_bad_input.py::test_a_message_over_128_kb_closes_with_1009": "it has no limit",
    "test_bad_input.py::test_a_frame_over_32_kb_closes_with_1009": "it has no limit",
    "test_bad_input.py::test_a_binary_frame_closes_with_1003": "it takes bytes for text",
    "test_bad_input.py::test_a_bad_frame_is_an_error[10,000 levels]": "its own parser of JSON gives up",
    "test_bad_input.py::test_a_bad_frame_is_an_error[a route that only the gateway may call]": "it allows it",
}


@pytest.mark.timeout(180)
def test_the_contract_holds_with_lanes(open_stage: Stage) -> None:
    """Every test of the contract passes, and both senders and the stream offer messages."""
    roles = Roles(open_stage)
    assert_contract(roles)
    offering = {Grant(function, "sqs:SendMessage", "delivery.fifo") for function in ("sendMessage", FANOUT)}
    assert offering <= roles.used("sendMessage") | roles.used(FANOUT)


@pytest.mark.timeout(180)
def test_the_contract_holds_without_lanes(stream_stage: Stage) -> None:
    """With delivery=stream the chat works the same, and nobody offers messages."""
    roles = Roles(stream_stage)
    done = run_contract(roles.stage, "tests/contract/test_chat.py")
    assert done.returncode == 0, done.stdout
    used = roles.used("sendMessage") | roles.used(FANOUT)
    assert not [grant for grant in used if grant.target == "delivery.fifo"]


def assert_contract(roles: Roles) -> None:
    """Every test of the contract passes against the stage, except those the emulator cannot pass."""
    seen = roles.decided()
    left_out = [f"--deselect=tests/contract/{name}" for name in NOT_THERE]
    done = run_contract(roles.stage, "tests/contract", *left_out)
    assert done.returncode == 0, done.stdout
    assert f"{len(NOT_THERE)} deselected" in done.stdout, "a name above is no test's any more"
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > len(NOT_THERE)
    # No denied call went unnoticed.
    assert {denied for function in roles.by_function for denied in roles.denied(function, seen)} == set()
