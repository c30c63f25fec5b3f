"""Shared by the tests of the chat's rules."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import aioboto3
import pytest

from tests.conftest import Stack
from tests.stack.groupcast.world import MakeWorld, Metered, World

# One for all clients: it keeps what it read of botocore's data.
SESSION = aioboto3.Session()


@pytest.fixture
async def world(stack: Stack, unit_tables: dict[str, str]) -> AsyncIterator[World]:
    async with SESSION.client("dynamodb", **stack.aws(stack.dynamodb_url)) as dynamodb:
        yield World(dynamodb, unit_tables)


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4()}"


@pytest.fixture
async def make_world(stack: Stack, unit_tables: dict[str, str]) -> AsyncIterator[MakeWorld]:
    async with SESSION.client("dynamodb", **stack.aws(stack.dynamodb_url)) as dynamodb:
        yield lambda **settings: World(Metered(dynamodb), unit_tables, **settings)
