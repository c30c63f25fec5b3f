"""moto's server as localcloud runs it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from localcloud.backends.moto import Moto

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """Its endpoint."""
    with asyncio.Runner() as runner:
        server = Moto()
        runner.run(server.__aenter__())
        yield server.endpoint
        runner.run(server.__aexit__())
