"""Shared by all unit tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from blockbuster import blockbuster_ctx

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail deployed code and the client if they block the event loop (a sleep, a file)."""
    if "stack" in request.fixturenames:
        # boto3 reads its data files when a client is created, once per environment.
        yield
        return
    with blockbuster_ctx(
        ["groupcast", "groupcast_client"], excluded_modules=["groupcast_cli", "groupcast_deploy"]
    ):
        yield
