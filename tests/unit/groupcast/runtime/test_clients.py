"""Clients of AWS's JSON services: failed calls are logged, and a stack closes the connections."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

import pytest

from groupcast.aws.credentials import CredentialsProvider
from groupcast.aws.errors import PoolClosedError, ServiceError
from groupcast.aws.json_api import DYNAMODB
from groupcast.runtime.clients import json_api, now_ms
from groupcast.settings import Settings
from tests.unit.groupcast.cloud import Cloud, Fault
from tests.unit.groupcast.functions import Output


async def test_a_failed_call_is_logged(cloud: Cloud, settings: Settings, output: Output) -> None:
    """With its operation and AWS's error; a condition that does not hold is no failure."""
    async with AsyncExitStack() as stack:
        client = json_api(stack, DYNAMODB, settings.dynamodb_endpoint, settings, CredentialsProvider(), 1)
        assert await client.call("DescribeTable", {"TableName": settings.groups_table})
        for code in ("ConditionalCheckFailedException", "AccessDeniedException"):
            cloud.faults["GetItem"] = Fault(400, code)
            with pytest.raises(ServiceError, match=code):
                await client.call("GetItem", {})
    (line,) = output.read().logs.values()
    assert (line["message"], line["level"]) == ("AWS call failed", "WARNING")
    assert line["operation"] == "GetItem"
    assert line["error"].startswith("ServiceError: ")
    assert "AccessDeniedException" in line["error"]


async def test_a_client_closes_with_its_stack(cloud: Cloud, settings: Settings) -> None:
    """No call is made after that."""
    async with AsyncExitStack() as stack:
        client = json_api(stack, DYNAMODB, settings.dynamodb_endpoint, settings, CredentialsProvider(), 1)
    with pytest.raises(PoolClosedError):
        await client.call("ListTables", {})


def test_now_is_in_milliseconds() -> None:
    before_s = time.time()
    now = now_ms()
    assert before_s * 1000 - 1 <= now <= time.time() * 1000
