from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.localcloud.functions.support import environments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from localcloud.functions import Environments


@pytest.fixture
async def pool() -> AsyncIterator[Environments]:
    """Environments with a function for every handler of functions/sample.py."""
    async with environments() as opened:
        yield opened
