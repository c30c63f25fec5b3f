"""A unit test that starts a process fails."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable

import pytest

from tests.unit.conftest import GUARD


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run(["true"], check=True),
        lambda: asyncio.run(asyncio.create_subprocess_exec("true")),
        os.fork,
    ],
)
def test_starting_one_fails(start: Callable[[], object]) -> None:
    """The attempt is kept as well, because the code under test may catch the error."""
    with pytest.raises(RuntimeError, match="move it to tests/stack"):
        start()
    assert len(GUARD.attempts) == 1
    GUARD.attempts.clear()
