from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.chromium import Chromium, find_chromium

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def chat_url(stack: Any) -> str:
    """The URL of the running chat page."""
    return str(stack.page_url)


@pytest.fixture
async def chromium() -> AsyncIterator[Chromium]:
    binary = find_chromium()
    if binary is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    async with Chromium.launch(binary) as browser:
        yield browser
